// A block of positions of a convolution layer: what it reads, multiplies and writes.
//
// Maps are [N / LANES][C][H][W][LANES] in memory: whatever is done to one pixel is done to LANES images at once.
// Every form of the layer is the same three steps on a block of positions (output pixels, or tiles):
//
//     V[tap][column] from the inputs      pixels of the window, or the tile transformed
//     M[tap][k] = sum of weight * V       over the support alone
//     outputs from M                      as they are, or transformed back
//
// and the gradient is their adjoints in reverse, V made again rather than kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "transforms.hpp"  // written from toolflow.numerics.winograd: of each tile its input and output matrices
#include "vector.hpp"

constexpr int POSITIONS = 8;  // of a block: what is done once for each weight is shared by so many

// What Python hands over; every pointer stays its own.
struct Layer {
    std::int64_t groups, channels, height, width, outputs, out_height, out_width;
    std::int64_t tile;  // 0, 2 or 4
    std::int64_t kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, top, left;
    std::int64_t taps, columns, weights;
    // Every weight that there is, by tap and output, then by tap and column. A row's weights begin at of_output[tap *
    // outputs + k] and of_column[tap * columns + column]; each has its place among all weights.
    const std::int64_t* of_output;
    const std::int32_t *output_place, *output_k, *output_column;
    const std::int64_t* of_column;
    const std::int32_t *column_place, *column_k;
    std::int64_t threads;
};

// A tile of M × M outputs from T × T inputs, forth and back.
template <int OUTPUTS, const auto& INPUT, const auto& OUTPUT>
struct Tile {
    static constexpr int M = OUTPUTS, T = OUTPUTS + 2;
    template <bool BACK>
    static void input(const Vector* in, Vector* out) { sandwich<INPUT, BACK, T, T>(in, out); }
    static void output(const Vector* in, Vector* out) { sandwich<OUTPUT, false, M, T>(in, out); }
    static void output_back(const Vector* in, Vector* out) { sandwich<OUTPUT, true, T, M>(in, out); }
};
using Tile2 = Tile<2, tile_2::input, tile_2::output>;
using Tile4 = Tile<4, tile_4::input, tile_4::output>;

// A block of positions of LANES images.
class Block {
  public:
    explicit Block(const Layer& layer) : layer_(layer) {
        positions_across_ = layer.tile ? (layer.out_width + layer.tile - 1) / layer.tile : layer.out_width;
        const std::int64_t down = layer.tile ? (layer.out_height + layer.tile - 1) / layer.tile : layer.out_height;
        positions_ = down * positions_across_;
        // One vector more for each tap: rows a power of two apart would share a few sets of the cache.
        v_pitch_ = layer.columns * POSITIONS + 1;
        m_pitch_ = layer.outputs * POSITIONS + 1;
        v_ = std::make_unique<Vector[]>(layer.taps * v_pitch_);
        m_ = std::make_unique<Vector[]>(layer.taps * m_pitch_);
    }

    // Call body for every block of the group-th LANES images.
    template <typename Body>
    void each(std::int64_t group, Body body) {
        group_ = group;
        for (first_ = 0; first_ < positions_; first_ += POSITIONS) {
            count_ = std::min<std::int64_t>(POSITIONS, positions_ - first_);
            for (std::int64_t p = 0; p < count_; ++p) {
                down_[p] = (first_ + p) / positions_across_;
                across_[p] = (first_ + p) % positions_across_;
            }
            body();
        }
    }

    void read_inputs(const float* x) {
        if (layer_.tile == 2) read_tiles<Tile2>(x);
        else if (layer_.tile == 4) read_tiles<Tile4>(x);
        else read_windows(x);
    }

    void add_inputs(float* x) {
        if (layer_.tile == 2) add_tiles<Tile2>(x);
        else if (layer_.tile == 4) add_tiles<Tile4>(x);
        else add_windows(x);
    }

    // finish(k, offset, value) takes every output pixel.
    template <typename Finish>
    void write_outputs(Finish finish) {
        if (layer_.tile == 2) write_tiles<Tile2>(finish);
        else if (layer_.tile == 4) write_tiles<Tile4>(finish);
        else
            for (std::int64_t k = 0; k < layer_.outputs; ++k)
                for (std::int64_t p = 0; p < count_; ++p) finish(k, output(k, first_ + p), m_[k * POSITIONS + p]);
    }

    // fetch(k, offset) gives every output pixel's gradient.
    template <typename Fetch>
    void read_gradients(Fetch fetch) {
        if (layer_.tile == 2) read_tile_gradients<Tile2>(fetch);
        else if (layer_.tile == 4) read_tile_gradients<Tile4>(fetch);
        else
            for (std::int64_t k = 0; k < layer_.outputs; ++k)
                for (std::int64_t p = 0; p < count_; ++p) m_[k * POSITIONS + p] = fetch(k, output(k, first_ + p));
    }

    // M = weight * V, the weights in the order of the outputs.
    void multiply(const float* by_output) {
        for (std::int64_t tap = 0; tap < layer_.taps; ++tap)
            multiply_rows(layer_.of_output + tap * layer_.outputs, layer_.outputs, layer_.output_column, by_output,
                          v_.get() + tap * v_pitch_, m_.get() + tap * m_pitch_);
    }

    // V = weightᵀ * M, the weights in the order of the columns.
    void multiply_back(const float* by_column) {
        for (std::int64_t tap = 0; tap < layer_.taps; ++tap)
            multiply_rows(layer_.of_column + tap * layer_.columns, layer_.columns, layer_.column_k, by_column,
                          m_.get() + tap * m_pitch_, v_.get() + tap * v_pitch_);
    }

    // The gradient of each weight, in the order of the outputs, += M * V.
    void correlate(float* of_weight) const {
        for (std::int64_t tap = 0; tap < layer_.taps; ++tap) {
            const Vector* v = v_.get() + tap * v_pitch_;
            const Vector* m = m_.get() + tap * m_pitch_;
            std::int64_t i = layer_.of_output[tap * layer_.outputs];
            const std::int64_t end = layer_.of_output[(tap + 1) * layer_.outputs];
            for (; i + LANES <= end; i += LANES) {
                Vector total[LANES];
#pragma GCC unroll 16
                for (int j = 0; j < LANES; ++j) total[j] = product(i + j, m, v);
                add(of_weight + i, sums(total));
            }
            for (; i < end; ++i) of_weight[i] += sum(product(i, m, v));
        }
    }

  private:
    const Layer& layer_;
    std::int64_t positions_across_, positions_, v_pitch_, m_pitch_;
    std::int64_t group_ = 0, first_ = 0, count_ = 0;
    std::int64_t down_[POSITIONS], across_[POSITIONS];  // of the block's positions
    std::unique_ptr<Vector[]> v_, m_;

    static const float* zeros() {
        static const float values[LANES] = {};
        return values;
    }

    std::int64_t input(std::int64_t channel, std::int64_t y, std::int64_t x) const {
        return (((group_ * layer_.channels + channel) * layer_.height + y) * layer_.width + x) * LANES;
    }

    std::int64_t output(std::int64_t k, std::int64_t position) const {
        return ((group_ * layer_.outputs + k) * layer_.out_height * layer_.out_width + position) * LANES;
    }

    bool inside(std::int64_t y, std::int64_t x) const {
        return y >= 0 && y < layer_.height && x >= 0 && x < layer_.width;
    }

    template <int T>
    bool within(std::int64_t top, std::int64_t left) const {
        return top >= 0 && left >= 0 && top + T <= layer_.height && left + T <= layer_.width;
    }

    void multiply_rows(const std::int64_t* begin, std::int64_t rows, const std::int32_t* other, const float* weight,
                       const Vector* from, Vector* to) {
        for (std::int64_t row = 0; row < rows; ++row) {
            Vector total[POSITIONS] = {};  // also of positions that there are not: what they hold is not read
            for (std::int64_t i = begin[row]; i < begin[row + 1]; ++i) {
                const float value = weight[i];
                const Vector* one = from + std::int64_t(other[i]) * POSITIONS;
#pragma GCC unroll 8
                for (int p = 0; p < POSITIONS; ++p) total[p] += value * one[p];
            }
#pragma GCC unroll 8
            for (int p = 0; p < POSITIONS; ++p) to[row * POSITIONS + p] = total[p];
        }
    }

    Vector product(std::int64_t i, const Vector* m, const Vector* v) const {
        m += std::int64_t(layer_.output_k[i]) * POSITIONS;
        v += std::int64_t(layer_.output_column[i]) * POSITIONS;
        Vector total = {};
        if (count_ == POSITIONS) {
#pragma GCC unroll 8
            for (int p = 0; p < POSITIONS; ++p) total += m[p] * v[p];
        } else {
            for (std::int64_t p = 0; p < count_; ++p) total += m[p] * v[p];
        }
        return total;
    }

    template <typename Form>
    void read_tiles(const float* x) {
        constexpr int T = Form::T;
        for (std::int64_t c = 0; c < layer_.channels; ++c)
            for (std::int64_t p = 0; p < count_; ++p) {
                const std::int64_t top = down_[p] * Form::M - layer_.top;
                const std::int64_t left = across_[p] * Form::M - layer_.left;
                Vector given[T * T], made[T * T];
                if (within<T>(top, left)) {
                    const float* corner = x + input(c, top, left);
#pragma GCC unroll 36
                    for (int i = 0; i < T * T; ++i)
                        given[i] = load(corner + (i / T * layer_.width + i % T) * LANES);
                } else {
                    for (int i = 0; i < T; ++i)
                        for (int j = 0; j < T; ++j)
                            given[i * T + j] = load(inside(top + i, left + j) ? x + input(c, top + i, left + j) : zeros());
                }
                Form::template input<false>(given, made);
#pragma GCC unroll 36
                for (int tap = 0; tap < T * T; ++tap) v_[tap * v_pitch_ + c * POSITIONS + p] = made[tap];
            }
    }

    template <typename Form>
    void add_tiles(float* x) {
        constexpr int T = Form::T;
        for (std::int64_t c = 0; c < layer_.channels; ++c)
            for (std::int64_t p = 0; p < count_; ++p) {
                const std::int64_t top = down_[p] * Form::M - layer_.top;
                const std::int64_t left = across_[p] * Form::M - layer_.left;
                Vector given[T * T], made[T * T];
#pragma GCC unroll 36
                for (int tap = 0; tap < T * T; ++tap) given[tap] = v_[tap * v_pitch_ + c * POSITIONS + p];
                Form::template input<true>(given, made);
                if (within<T>(top, left)) {
                    float* corner = x + input(c, top, left);
#pragma GCC unroll 36
                    for (int i = 0; i < T * T; ++i) add(corner + (i / T * layer_.width + i % T) * LANES, made[i]);
                } else {
                    for (int i = 0; i < T; ++i)
                        for (int j = 0; j < T; ++j)
                            if (inside(top + i, left + j)) add(x + input(c, top + i, left + j), made[i * T + j]);
                }
            }
    }

    template <typename Form, typename Finish>
    void write_tiles(Finish finish) {
        constexpr int M = Form::M, T = Form::T;
        for (std::int64_t k = 0; k < layer_.outputs; ++k)
            for (std::int64_t p = 0; p < count_; ++p) {
                const std::int64_t top = down_[p] * M;
                const std::int64_t left = across_[p] * M;
                Vector given[T * T], made[M * M];
#pragma GCC unroll 36
                for (int tap = 0; tap < T * T; ++tap) given[tap] = m_[tap * m_pitch_ + k * POSITIONS + p];
                Form::output(given, made);
                const std::int64_t corner = output(k, top * layer_.out_width + left);
                if (top + M <= layer_.out_height && left + M <= layer_.out_width) {
#pragma GCC unroll 16
                    for (int i = 0; i < M * M; ++i)
                        finish(k, corner + (i / M * layer_.out_width + i % M) * LANES, made[i]);
                } else {
                    for (int i = 0; i < M && top + i < layer_.out_height; ++i)
                        for (int j = 0; j < M && left + j < layer_.out_width; ++j)
                            finish(k, corner + (i * layer_.out_width + j) * LANES, made[i * M + j]);
                }
            }
    }

    template <typename Form, typename Fetch>
    void read_tile_gradients(Fetch fetch) {
        constexpr int M = Form::M, T = Form::T;
        for (std::int64_t k = 0; k < layer_.outputs; ++k)
            for (std::int64_t p = 0; p < count_; ++p) {
                const std::int64_t top = down_[p] * M;
                const std::int64_t left = across_[p] * M;
                Vector given[M * M] = {}, made[T * T];
                const std::int64_t corner = output(k, top * layer_.out_width + left);
                if (top + M <= layer_.out_height && left + M <= layer_.out_width) {
#pragma GCC unroll 16
                    for (int i = 0; i < M * M; ++i) given[i] = fetch(k, corner + (i / M * layer_.out_width + i % M) * LANES);
                } else {
                    for (int i = 0; i < M && top + i < layer_.out_height; ++i)
                        for (int j = 0; j < M && left + j < layer_.out_width; ++j)
                            given[i * M + j] = fetch(k, corner + (i * layer_.out_width + j) * LANES);
                }
                Form::output_back(given, made);
#pragma GCC unroll 36
                for (int tap = 0; tap < T * T; ++tap) m_[tap * m_pitch_ + k * POSITIONS + p] = made[tap];
            }
    }

    // body(column, position, whether the pixel is inside, its offset)
    template <typename Body>
    void each_pixel(Body body) {
        std::int64_t column = 0;
        for (std::int64_t c = 0; c < layer_.channels; ++c)
            for (std::int64_t r = 0; r < layer_.kernel_height; ++r)
                for (std::int64_t s = 0; s < layer_.kernel_width; ++s, ++column)
                    for (std::int64_t p = 0; p < count_; ++p) {
                        const std::int64_t y = down_[p] * layer_.stride_y - layer_.top + r * layer_.dilation_y;
                        const std::int64_t x = across_[p] * layer_.stride_x - layer_.left + s * layer_.dilation_x;
                        body(column, p, inside(y, x), input(c, y, x));
                    }
    }

    void read_windows(const float* x) {
        each_pixel([&](std::int64_t column, std::int64_t p, bool in, std::int64_t offset) {
            v_[column * POSITIONS + p] = load(in ? x + offset : zeros());
        });
    }

    void add_windows(float* x) {
        each_pixel([&](std::int64_t column, std::int64_t p, bool in, std::int64_t offset) {
            if (in) add(x + offset, v_[column * POSITIONS + p]);
        });
    }
};
