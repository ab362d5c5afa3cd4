// intar_memory.h: the memory ports.
//
// A load is two functions: fetch() is control driven and does nothing but bursts (one per run), split_words() or
// join_words() is the task that makes beats of the words.  A store is the mirror image: join_beats() or
// split_beats(), then drain().  Beats lie densely in memory; every step starts at a word boundary: what is left of
// its last word is dropped (load) or filled with zeros (store).
#ifndef INTAR_MEMORY_H
#define INTAR_MEMORY_H

#include "intar_types.h"

namespace intar {

// `words` consecutive words from word `base` on, `repeat` times over; in every round of its segment `stride` words further
// on, in every second one `swap` more.
struct burst {
  int32_t base;
  int32_t words;
  int32_t repeat;
  int32_t stride;
  int32_t swap;

  int32_t first(int round) const {
#pragma HLS INLINE
    return base + round * stride + ((round & 1) ? swap : 0);
  }
};

// A run of `beats` beats that starts at a word boundary, `repeat` times over.
struct transfer {
  int32_t beats;
  int32_t repeat;
};

// Memory to words.  II = 1; one burst request per run and repetition.
template <int BITS, int RUNS>
inline void fetch(const burst (&runs)[RUNS], const part& played, int round, const word<BITS>* memory,
                  hls::stream<word<BITS> >& out) {
#pragma HLS INLINE
RUN:
  for (int r = played.first; r < played.end; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const burst run = runs[r];
    const int32_t base = run.first(round);
  REPEAT:
    for (int i = 0; i < run.repeat; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    FETCH:
      for (int w = 0; w < run.words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1
        out.write(memory[base + w]);
      }
    }
  }
}

// Rows of a table, chosen by ids: `words` words from row `clamp(id, 0, last)` of the table at word `base`, whose rows are
// `pitch` words apart, for each of `rows` ids.
struct table_run {
  int32_t base;
  int32_t words;
  int32_t rows;
  int32_t last;
  int32_t pitch;
};

// Memory to words, where ids choose.  II = 1 in a row; one burst request per row.  The ids of a run begin a word.
template <int BITS, int RUNS>
inline void lookup(const table_run (&runs)[RUNS], const part& played, const word<BITS>* memory,
                   hls::stream<word<BITS> >& ids, hls::stream<word<BITS> >& out) {
#pragma HLS INLINE
  constexpr int IDS = BITS / 32;
  int32_t held[IDS];
#pragma HLS ARRAY_PARTITION variable=held type=complete
RUN:
  for (int r = played.first; r < played.end; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const table_run run = runs[r];
    int slot = 0;
  ROW:
    for (int i = 0; i < run.rows; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
      if (slot == 0) {
        const word<BITS> bytes = ids.read();
      EXPAND:
        for (int e = 0; e < IDS; ++e) {
#pragma HLS UNROLL
          held[e] = extract<32>(bytes, e);
        }
      }
      const int32_t id = held[0];
    SHIFT:
      for (int e = 1; e < IDS; ++e) {
#pragma HLS UNROLL
        held[e - 1] = held[e];
      }
      slot = (slot == IDS - 1) ? 0 : slot + 1;
      const int32_t row = id < 0 ? 0 : (id > run.last ? run.last : id);
      const int32_t base = run.base + row * run.pitch;
    FETCH:
      for (int w = 0; w < run.words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1
        out.write(memory[base + w]);
      }
    }
  }
}

// Words to memory.  II = 1; one burst per run.
template <int BITS, int RUNS>
inline void drain(const burst (&runs)[RUNS], const part& played, int round, hls::stream<word<BITS> >& in,
                  word<BITS>* memory) {
#pragma HLS INLINE
RUN:
  for (int r = played.first; r < played.end; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const burst run = runs[r];
    const int32_t base = run.first(round);
  DRAIN:
    for (int w = 0; w < run.words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1
      memory[base + w] = in.read();
    }
  }
}

// Words by which a call at `position` stores further on, `row` for each position.
inline int32_t appended(int64_t position, int32_t last, int32_t row) {
#pragma HLS INLINE
  return call_position(position, last) * row;
}

// One turn at a memory that is written and read back: a burst, from memory when `reads`.
struct passage {
  burst run;
  int32_t reads;
};

// Words to memory and back, in static turns.  II = 1.  One process owns the memory, so that what it reads is what it
// wrote: the loops run one after the other, and a burst of writes ends with its response.  What it reads goes back to
// tasks, which the canonical form of DATAFLOW does not provide for; Vitis HLS warns about the loop.  Writes go `moved` words
// further on.
template <int BITS, int TURNS>
inline void exchange(const passage (&turns)[TURNS], const part& played, int round, int32_t moved,
                     hls::stream<word<BITS> >& in, hls::stream<word<BITS> >& out, word<BITS>* memory) {
#pragma HLS INLINE
TURN:
  for (int t = played.first; t < played.end; ++t) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const burst run = turns[t].run;
    const int32_t base = run.first(round);
    if (turns[t].reads) {
    REPEAT:
      for (int i = 0; i < run.repeat; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
      FETCH:
        for (int w = 0; w < run.words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1
          out.write(memory[base + w]);
        }
      }
    } else {
    DRAIN:
      for (int w = 0; w < run.words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1
        memory[base + moved + w] = in.read();
      }
    }
  }
}

// Words to beats, at least one beat per word.  One beat a cycle.
template <int BITS, int LANES, int WORD, int STEPS>
inline void split_words(const transfer (&steps)[STEPS], const part& played, hls::stream<word<WORD> >& in,
                        hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  constexpr int BEATS = WORD / (LANES * BITS);
  static_assert(BEATS * LANES * BITS == WORD, "a word is a whole number of beats");
  element<BITS> held[BEATS * LANES];
#pragma HLS ARRAY_PARTITION variable=held type=complete
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const transfer step = steps[s];
  REPEAT:
    for (int i = 0; i < step.repeat; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
      int slot = 0;
    BEAT:
      for (int n = 0; n < step.beats; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1 style=flp
        if (slot == 0) {
          const word<WORD> bytes = in.read();
        EXPAND:
          for (int e = 0; e < BEATS * LANES; ++e) {
#pragma HLS UNROLL
            held[e] = extract<BITS>(bytes, e);
          }
        }
        beat<LANES, BITS> front;
      FRONT:
        for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
          front[l] = held[l];
        }
        out.write(front);
      SHIFT:
        for (int e = LANES; e < BEATS * LANES; ++e) {
#pragma HLS UNROLL
          held[e - LANES] = held[e];
        }
        slot = (slot == BEATS - 1) ? 0 : slot + 1;
      }
    }
  }
}

// Words to beats, several words per beat.  One word a cycle.
template <int BITS, int LANES, int WORD, int STEPS>
inline void join_words(const transfer (&steps)[STEPS], const part& played, hls::stream<word<WORD> >& in,
                       hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  constexpr int WORDS = LANES * BITS / WORD;
  constexpr int SLICE = WORD / BITS;
  static_assert(WORDS * SLICE == LANES, "a beat is a whole number of words");
  beat<LANES, BITS> joined;
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const transfer step = steps[s];
    int slot = 0;
  WORD_IN:
    for (int n = 0; n < step.beats * step.repeat * WORDS; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1 style=flp
      const word<WORD> bytes = in.read();
    SHIFT:
      for (int l = 0; l < LANES - SLICE; ++l) {
#pragma HLS UNROLL
        joined[l] = joined[l + SLICE];
      }
    EXPAND:
      for (int e = 0; e < SLICE; ++e) {
#pragma HLS UNROLL
        joined[LANES - SLICE + e] = extract<BITS>(bytes, e);
      }
      if (slot == WORDS - 1) out.write(joined);
      slot = (slot == WORDS - 1) ? 0 : slot + 1;
    }
  }
}

// Beats to words, at least one beat per word.  One beat a cycle.
template <int BITS, int LANES, int WORD, int STEPS>
inline void join_beats(const transfer (&steps)[STEPS], const part& played, hls::stream<beat<LANES, BITS> >& in,
                       hls::stream<word<WORD> >& out) {
#pragma HLS INLINE
  constexpr int BEATS = WORD / (LANES * BITS);
  static_assert(BEATS * LANES * BITS == WORD, "a word is a whole number of beats");
  element<BITS> held[BEATS * LANES];
#pragma HLS ARRAY_PARTITION variable=held type=complete
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const transfer step = steps[s];
    int slot = 0;
  BEAT:
    for (int n = 0; n < step.beats; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1 style=flp
      const beat<LANES, BITS> taken = in.read();
    CLEAR:
      for (int e = 0; e < BEATS * LANES; ++e) {
#pragma HLS UNROLL
        if (e / LANES == slot) {
          held[e] = taken[e % LANES];
        } else if (slot == 0) {
          held[e] = 0;
        }
      }
      if (slot == BEATS - 1 || n == step.beats - 1) {
        word<WORD> bytes(static_cast<uint8_t>(0));
      PACK:
        for (int e = 0; e < BEATS * LANES; ++e) {
#pragma HLS UNROLL
          deposit<BITS>(bytes, e, held[e]);
        }
        out.write(bytes);
      }
      slot = (slot == BEATS - 1) ? 0 : slot + 1;
    }
  }
}

// Beats to words, several words per beat.  One word a cycle.
template <int BITS, int LANES, int WORD, int STEPS>
inline void split_beats(const transfer (&steps)[STEPS], const part& played, hls::stream<beat<LANES, BITS> >& in,
                        hls::stream<word<WORD> >& out) {
#pragma HLS INLINE
  constexpr int WORDS = LANES * BITS / WORD;
  constexpr int SLICE = WORD / BITS;
  static_assert(WORDS * SLICE == LANES, "a beat is a whole number of words");
  beat<LANES, BITS> held;
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const transfer step = steps[s];
    int slot = 0;
  WORD_OUT:
    for (int n = 0; n < step.beats * WORDS; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1 style=flp
      if (slot == 0) held = in.read();
      word<WORD> bytes(static_cast<uint8_t>(0));
    PACK:
      for (int e = 0; e < SLICE; ++e) {
#pragma HLS UNROLL
        deposit<BITS>(bytes, e, held[e]);
      }
      out.write(bytes);
    SHIFT:
      for (int l = 0; l < LANES - SLICE; ++l) {
#pragma HLS UNROLL
        held[l] = held[l + SLICE];
      }
      slot = (slot == WORDS - 1) ? 0 : slot + 1;
    }
  }
}

}  // namespace intar

#endif
