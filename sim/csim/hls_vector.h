// hls::vector<T, N>: N elements that travel together, with element-wise arithmetic.
//
// Trivially copyable; sizeof is exactly N * sizeof(T), as a 512-bit memory port needs it.
#ifndef INTAR_CSIM_HLS_VECTOR_H
#define INTAR_CSIM_HLS_VECTOR_H

#include <cstddef>
#include <initializer_list>
#include <type_traits>

namespace hls {

namespace detail {
// The largest power of two that divides `bytes`, at most 16: what every allocator of C++14 honours.
constexpr std::size_t vector_alignment(std::size_t bytes, std::size_t alignment = 16) {
    return bytes % alignment == 0 ? alignment : vector_alignment(bytes, alignment / 2);
}
}  // namespace detail

template <typename T, std::size_t N>
class alignas(detail::vector_alignment(sizeof(T) * N) > alignof(T) ? detail::vector_alignment(sizeof(T) * N)
                                                                   : alignof(T)) vector {
    static_assert(N > 0, "hls::vector needs at least one element");

public:
    using value_type = T;

    vector() = default;
    vector(const T& value) {  // NOLINT: implicit as in Vitis, so that `v + 1` works
        for (std::size_t i = 0; i < N; ++i) items_[i] = value;
    }
    vector(std::initializer_list<T> values) {
        std::size_t i = 0;
        for (const T& value : values) {
            if (i < N) items_[i++] = value;
        }
        while (i < N) items_[i++] = T();
    }

    T& operator[](std::size_t i) { return items_[i]; }
    const T& operator[](std::size_t i) const { return items_[i]; }
    static constexpr std::size_t size() { return N; }
    T* begin() { return items_; }
    T* end() { return items_ + N; }
    const T* begin() const { return items_; }
    const T* end() const { return items_ + N; }

    vector& operator+=(const vector& other) {
        for (std::size_t i = 0; i < N; ++i) items_[i] = static_cast<T>(items_[i] + other.items_[i]);
        return *this;
    }
    vector& operator-=(const vector& other) {
        for (std::size_t i = 0; i < N; ++i) items_[i] = static_cast<T>(items_[i] - other.items_[i]);
        return *this;
    }
    vector& operator*=(const vector& other) {
        for (std::size_t i = 0; i < N; ++i) items_[i] = static_cast<T>(items_[i] * other.items_[i]);
        return *this;
    }
    friend vector operator+(vector left, const vector& right) { return left += right; }
    friend vector operator-(vector left, const vector& right) { return left -= right; }
    friend vector operator*(vector left, const vector& right) { return left *= right; }
    friend bool operator==(const vector& left, const vector& right) {
        for (std::size_t i = 0; i < N; ++i) {
            if (!(left.items_[i] == right.items_[i])) return false;
        }
        return true;
    }
    friend bool operator!=(const vector& left, const vector& right) { return !(left == right); }

    T reduce_add() const {
        T sum = items_[0];
        for (std::size_t i = 1; i < N; ++i) sum = static_cast<T>(sum + items_[i]);
        return sum;
    }

private:
    T items_[N];
};

}  // namespace hls

#endif  // INTAR_CSIM_HLS_VECTOR_H
