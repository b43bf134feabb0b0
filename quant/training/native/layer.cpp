// A convolution layer to train through on a CPU: direct or by Winograd tiles, with any support. Called from Python.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "block.hpp"

namespace {

// Call work(thread, from, to) on parts of `count` that together are all of it.
template <typename Work>
void in_parallel(std::int64_t threads, std::int64_t count, Work work) {
    threads = std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(count, 1));
    std::atomic<bool> failed = false;
    auto part = [&](std::int64_t t) {
        try {
            work(t, count * t / threads, count * (t + 1) / threads);
        } catch (const std::exception&) {
            failed = true;
        }
    };
    std::vector<std::thread> others;
    others.reserve(threads);
    for (std::int64_t t = 1; t < threads; ++t) {
        try {
            others.emplace_back(part, t);
        } catch (const std::system_error&) {  // no more threads are to be had
            part(t);
        }
    }
    part(0);
    for (std::thread& other : others) other.join();
    if (failed) throw std::bad_alloc();
}

std::vector<float> ordered(const float* weight, const std::int32_t* place, std::int64_t count) {
    std::vector<float> found(count);
    for (std::int64_t i = 0; i < count; ++i) found[i] = weight[place[i]];
    return found;
}

std::int64_t weights_of(const Layer& layer) { return layer.of_output[layer.taps * layer.outputs]; }

Vector all(float value) { return value - Vector{}; }

}  // namespace

// Nothing may be thrown into Python: each returns 0, or 1 where there is not memory enough.
extern "C" {

int layer_lanes() { return LANES; }

// The sums y. Where moments [2][outputs] are wanted, also the sum of y and of y² of each output channel; where there is
// a scale [outputs], y = clamp(scale * sum + shift + residual) instead.
int layer_forward(const Layer* layer, const float* x, const float* weight, const float* scale, const float* shift,
                  const float* residual, float lower, float upper, float* y, double* moments) try {
    const std::int64_t groups = layer->groups, threads = std::min(layer->threads, groups);
    const std::vector<float> by_output = ordered(weight, layer->output_place, weights_of(*layer));
    std::vector<double> found(2 * layer->outputs * threads);
    in_parallel(threads, groups, [&](std::int64_t thread, std::int64_t from, std::int64_t to) {
        Block block(*layer);
        std::vector<Vector> partial(2 * layer->outputs);
        double* mine = found.data() + 2 * layer->outputs * thread;
        const Vector low = all(lower), high = all(upper);
        for (std::int64_t group = from; group < to; ++group)
            block.each(group, [&] {
                block.read_inputs(x);
                block.multiply(by_output.data());
                if (scale) {
                    block.write_outputs([&](std::int64_t k, std::int64_t offset, Vector value) {
                        value = value * scale[k] + shift[k];
                        if (residual) value += load(residual + offset);
                        store(y + offset, clamp(value, low, high));
                    });
                    return;
                }
                std::fill(partial.begin(), partial.end(), Vector{});
                block.write_outputs([&](std::int64_t k, std::int64_t offset, Vector value) {
                    store(y + offset, value);
                    partial[2 * k] += value;
                    partial[2 * k + 1] += value * value;
                });
                for (std::int64_t k = 0; k < layer->outputs; ++k) {
                    mine[2 * k] += sum(partial[2 * k]);
                    mine[2 * k + 1] += sum(partial[2 * k + 1]);
                }
            });
    });
    if (!moments) return 0;
    for (std::int64_t k = 0; k < layer->outputs; ++k)
        for (std::int64_t i = 0; i < 2; ++i) {
            moments[i * layer->outputs + k] = 0;
            for (std::int64_t t = 0; t < threads; ++t)
                moments[i * layer->outputs + k] += found[2 * layer->outputs * t + 2 * k + i];
        }
    return 0;
} catch (const std::exception&) {
    return 1;
}

// out = clamp(scale * y + shift + residual), channel by channel.
int layer_finish(const Layer* layer, const float* y, const float* scale, const float* shift, const float* residual,
                  float lower, float upper, float* out) try {
    const std::int64_t size = layer->out_height * layer->out_width * LANES;
    const Vector low = all(lower), high = all(upper);
    in_parallel(layer->threads, layer->groups * layer->outputs, [&](std::int64_t, std::int64_t from, std::int64_t to) {
        for (std::int64_t map = from; map < to; ++map) {
            const std::int64_t k = map % layer->outputs;
            for (std::int64_t i = map * size; i < (map + 1) * size; i += LANES) {
                Vector value = load(y + i) * scale[k] + shift[k];
                if (residual) value += load(residual + i);
                store(out + i, clamp(value, low, high));
            }
        }
    });
    return 0;
} catch (const std::exception&) {
    return 1;
}

// The gradient before the clamp, of_sum, from that behind it; and for each output channel the sum of it and of its
// product with y - mean: sums [2][outputs].
int layer_reduce(const Layer* layer, const float* of_out, const float* out, const float* y, const float* mean,
                  float lower, float upper, float* of_sum, double* sums) try {
    const std::int64_t size = layer->out_height * layer->out_width * LANES;
    const std::int64_t run = LANES * 256;  // as many values are summed as float
    const Vector low = all(lower), high = all(upper), zero = {};
    in_parallel(layer->threads, layer->outputs, [&](std::int64_t, std::int64_t from, std::int64_t to) {
        for (std::int64_t k = from; k < to; ++k) {
            double first = 0, second = 0;
            for (std::int64_t map = k; map < layer->groups * layer->outputs; map += layer->outputs)
                for (std::int64_t start = map * size; start < (map + 1) * size; start += run) {
                    Vector one = {}, other = {};
                    for (std::int64_t i = start; i < std::min(start + run, (map + 1) * size); i += LANES) {
                        const Vector value = load(out + i), given = load(of_out + i);
                        const Vector kept = ((value > low) & (value < high)) ? given : zero;
                        store(of_sum + i, kept);
                        one += kept;
                        other += kept * (load(y + i) - mean[k]);
                    }
                    first += sum(one);
                    second += sum(other);
                }
            sums[k] = first;
            sums[layer->outputs + k] = second;
        }
    });
    return 0;
} catch (const std::exception&) {
    return 1;
}

// The gradients of weight and, where wanted, of x, from that of the sums: of_sum * scale + y * slope + offset.
int layer_backward(const Layer* layer, const float* x, const float* weight, const float* of_sum, const float* y,
                    const float* scale, const float* slope, const float* offset, float* of_x, float* of_weight) try {
    const std::int64_t groups = layer->groups, threads = std::min(layer->threads, groups);
    const std::int64_t count = weights_of(*layer);
    const std::vector<float> by_column = ordered(weight, layer->column_place, count);
    const std::int64_t inputs = layer->channels * layer->height * layer->width * LANES;
    std::vector<float> partial(count * threads);
    in_parallel(threads, groups, [&](std::int64_t thread, std::int64_t from, std::int64_t to) {
        Block block(*layer);
        for (std::int64_t group = from; group < to; ++group) {
            if (of_x) std::fill_n(of_x + group * inputs, inputs, 0.0f);
            block.each(group, [&] {
                block.read_inputs(x);
                block.read_gradients([&](std::int64_t k, std::int64_t place) {
                    return load(of_sum + place) * scale[k] + load(y + place) * slope[k] + offset[k];
                });
                block.correlate(partial.data() + count * thread);
                if (!of_x) return;
                block.multiply_back(by_column.data());
                block.add_inputs(of_x);
            });
        }
    });
    std::fill(of_weight, of_weight + layer->weights, 0.0f);
    for (std::int64_t t = 0; t < threads; ++t)
        for (std::int64_t i = 0; i < count; ++i) of_weight[layer->output_place[i]] += partial[count * t + i];
    return 0;
} catch (const std::exception&) {
    return 1;
}

}  // extern "C"
