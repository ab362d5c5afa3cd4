// Declarations of hls::stream for the linter: everything that Vitis HLS offers, so that what is forbidden is found by name.
#ifndef INTAR_LINT_HLS_STREAM_H
#define INTAR_LINT_HLS_STREAM_H

#include <stddef.h>

namespace hls {

template <typename T, int DEPTH = 0>
class stream;

template <typename T>
class stream<T, 0> {
public:
    stream();
    explicit stream(const char* name);
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    T read();
    void read(T& value);
    void write(const T& value);
    void operator>>(T& value);
    void operator<<(const T& value);

    bool read_nb(T& value);
    bool write_nb(const T& value);
    bool empty() const;
    bool full() const;
    size_t size() const;
    size_t capacity() const;
    const char* get_name() const;
};

template <typename T, int DEPTH>
class stream : public stream<T, 0> {
public:
    stream();
    explicit stream(const char* name);
};

}  // namespace hls

#endif  // INTAR_LINT_HLS_STREAM_H
