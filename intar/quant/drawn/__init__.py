"""Random tasks of quantised graphs (`intar.quant.random_graphs`): a maker of tensors and constants, tasks by kind."""
