"""Random programs by the kind of node that they are about."""

from random_arrays import random_core, random_feed
from random_memories import random_buffer, random_constant, random_image
from random_movers import random_argmax, random_gather, random_lookup, random_router
from random_rows import random_rows
from random_vectors import random_vector

RANDOM = {
    "buffer": random_buffer,
    "constant": random_constant,
    "image": random_image,
    "feed": random_feed,
    "core": random_core,
    "vector": random_vector,
    "gather": random_gather,
    "argmax": random_argmax,
    "lookup": random_lookup,
    "router": random_router,
    "rows": random_rows,
}
