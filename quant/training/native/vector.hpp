// Vectors of images, and small constant matrices applied to them.
#pragma once

// Images that are computed on at once: as many as a register holds. Compilers pass wider vectors through memory.
#ifndef VECTOR_LANES
#ifdef __AVX512F__
#define VECTOR_LANES 16
#else
#define VECTOR_LANES 8
#endif
#endif
constexpr int LANES = VECTOR_LANES;

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4)));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }

inline void store(float* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }

inline void add(float* to, Vector value) { store(to, load(to) + value); }

inline float sum(Vector value) {
    float total[LANES];
    store(total, value);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; ++i) total[i] += total[i + width];
    return total[0];
}

// The sums of LANES vectors, each in its place: two vectors become one of half as many partial sums of both, and so on.
#if VECTOR_LANES == 16
inline Vector sums(const Vector* values) {
    Vector by8[8], by4[4], by2[2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
        by8[i] = __builtin_shufflevector(values[i], values[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                 __builtin_shufflevector(values[i], values[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
        by4[i] = __builtin_shufflevector(by8[i], by8[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
                 __builtin_shufflevector(by8[i], by8[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i)
        by2[i] = __builtin_shufflevector(by4[i], by4[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
                 __builtin_shufflevector(by4[i], by4[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    return __builtin_shufflevector(by2[0], by2[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(by2[0], by2[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}
#else
inline Vector sums(const Vector* values) {
    Vector by4[4], by2[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
        by4[i] = __builtin_shufflevector(values[i], values[i + 4], 0, 1, 2, 3, 8, 9, 10, 11) +
                 __builtin_shufflevector(values[i], values[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i)
        by2[i] = __builtin_shufflevector(by4[i], by4[i + 2], 0, 1, 8, 9, 4, 5, 12, 13) +
                 __builtin_shufflevector(by4[i], by4[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    return __builtin_shufflevector(by2[0], by2[1], 0, 8, 2, 10, 4, 12, 6, 14) +
           __builtin_shufflevector(by2[0], by2[1], 1, 9, 3, 11, 5, 13, 7, 15);
}
#endif

// Within bounds; what is not a number stays so.
inline Vector clamp(Vector value, Vector low, Vector high) {
    value = value < low ? low : value;
    return value > high ? high : value;
}

// out (rows × rows) = A · in (columns × columns) · Aᵀ, or with Aᵀ in A's place: A is (height × width), its zeros cost
// nothing once the loops are unrolled.
template <const auto& A, bool TRANSPOSED, int ROWS, int COLUMNS>
inline void sandwich(const Vector* in, Vector* out) {
    auto entry = [](int row, int column) { return TRANSPOSED ? A[column][row] : A[row][column]; };
    Vector half[ROWS * COLUMNS];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 8
        for (int column = 0; column < COLUMNS; ++column) {
            Vector total = {};
#pragma GCC unroll 8
            for (int inner = 0; inner < COLUMNS; ++inner)
                if (entry(row, inner) != 0) total += entry(row, inner) * in[inner * COLUMNS + column];
            half[row * COLUMNS + column] = total;
        }
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 8
        for (int column = 0; column < ROWS; ++column) {
            Vector total = {};
#pragma GCC unroll 8
            for (int inner = 0; inner < COLUMNS; ++inner)
                if (entry(column, inner) != 0) total += entry(column, inner) * half[row * COLUMNS + inner];
            out[row * ROWS + column] = total;
        }
}
