// Reads what a pass needs: instructions and the beats of tables and images (gmem0), and the weight stream
// (gmem1), which it cuts into parameters and rows. Each function is a process of the dataflow region.
#ifndef CASCADE_FETCH_HPP
#define CASCADE_FETCH_HPP

#include "check.hpp"

namespace cascade {

// What the cutter of the weight stream needs of a convolution; `groups` = 0 says that the pass is over.
struct PacketOrder {
  uint16_t groups;
  uint16_t channels;
  uint16_t rows;
  bool indexed;
};

// `count` instructions from number `first` on for the core and the cutter, in order; after TABLE its beats, after LOAD
// every lane's image, after FILL every lane's rows.
template <class Config, class ProgramMemory, class ImageMemory, class MapMemory>
void fetch_program(ProgramMemory program, ImageMemory images, MapMemory maps, unsigned int first, unsigned int count,
                   unsigned int image_beats, unsigned int first_image, unsigned int lanes,
                   hls::stream<Instruction>& instructions, hls::stream<Beat<Config> >& data,
                   hls::stream<PacketOrder>& packets) {
#ifdef __SYNTHESIS__
#pragma HLS ALLOCATION function instances=product limit=1
#endif
  static Stripes stripes;  // until the end of the pass
  if (first == 0) stripes = all_inside();
  for (unsigned int index = 0; index < count; ++index) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#endif
    uint32_t word[block_words];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
    read_block<Config>(program, first + index + 1, word);
    const Instruction i = decode_instruction(word);
    instructions.write(i);
    if (Config::stripes && i.opcode == op_stripes) stripes = stripes_of(i);
    LaneWindow window = first_lane(stripes);
    const unsigned int served = lanes_served<Config>(i, lanes);
    if (i.opcode == op_conv) {
      PacketOrder order;
      order.groups = i.groups;
      order.channels = i.channels;
      order.rows = i.rows;
      order.indexed = i.indexed();
      packets.write(order);
    }
    const uint16_t bytes = static_cast<uint16_t>(product(i.sub_rows, i.in_words));  // of a pixel
    if (i.opcode == op_table && first_image == 0) {  // the tables hold it in later passes
      stream_beats<Config>(program, i.in_base / Shape<Config>::bus_bytes, bytes * 256u / Shape<Config>::bus_bytes,
                           data);
    }
    if (i.opcode == op_load) {
      const uint32_t row_bytes = static_cast<uint32_t>(product(bytes, i.out_width));
      for (unsigned int lane = 0; lane < served; ++lane) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
#endif
        const LaneRows rows = lane_rows<Config>(i, window, i.out_height);
        const unsigned int bytes_here = static_cast<unsigned int>(product(row_bytes, rows.height));
        const unsigned int beats = divide_up(bytes_here, Shape<Config>::bus_bytes);
        const bool striped = Config::stripes && i.striped();
        const Address image = static_cast<Address>(striped ? first_image : first_image + lane) * image_beats;
        const uint32_t first_row =
            striped ? first_byte<Config>(i.in_base, i.residual_base, lane, row_bytes, rows) : i.in_base;
        if (beats != 0) stream_beats<Config>(images, image + first_row / Shape<Config>::bus_bytes, beats, data);
        if (Config::stripes) next_lane(stripes, window);
      }
    }
    if (Config::external_maps && i.opcode == op_fill) {
      const MapRows rows = map_rows<Config>(i);
      for (unsigned int lane = 0; lane < served; ++lane) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
#endif
        const LaneRows here = lane_rows<Config>(i, window, rows.height);
        const unsigned int beats = static_cast<unsigned int>(product(rows.row_beats, here.height));
        if (beats != 0) stream_beats<Config>(maps, first_beat<Config>(rows, lane, here), beats, data);
        if (Config::stripes) next_lane(stripes, window);
      }
    }
  }
  PacketOrder last;
  last.groups = 0;
  last.channels = 0;
  last.rows = 0;
  last.indexed = false;
  packets.write(last);
}

template <class Config, class Memory>
void fetch_weights(Memory weights, Address first, unsigned int count, hls::stream<Beat<Config> >& beats) {
  stream_beats<Config>(weights, first, count, beats);
}

// `width` bits of a row from the constant position `low` on.
template <int Width, int Chunks>
inline UInt<Width> row_bits(const UInt<chunk_bits> (&chunk)[Chunks], int low) {
  const int first = low / chunk_bits;
  const int offset = low % chunk_bits;
  UInt<chunk_bits> bits = chunk[first] >> offset;
  if (offset + Width > chunk_bits) bits |= UInt<chunk_bits>(chunk[first + 1]) << (chunk_bits - offset);
  return keep_unsigned<Width>(bits);
}

template <class Config, bool Indexed>
inline void cut_row(const UInt<chunk_bits> (&chunk)[Shape<Config>::row_chunks], WeightRow<Config>& row) {
  typedef Shape<Config> S;
  for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int n = k * Config::slots + s;
      const UInt<Config::weight_bits> value =
          row_bits<Config::weight_bits, S::row_chunks>(chunk, n * Config::weight_bits);
      set_element<Config::slots, Config::weight_bits>(row.value[k], s, value);
    }
  }
  for (int c = 0; c < S::choices; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int s = 0; s < S::kept_indices; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int n = c * Config::slots + s;
      UInt<S::index_bits> index = 0;
      if (Indexed) index = row_bits<S::index_bits, S::row_chunks>(chunk, S::dense_row_bits + n * S::index_bits);
      set_element<S::kept_indices, S::kept_index_bits>(row.index[c], s, keep_unsigned<S::kept_index_bits>(index));
    }
  }
}

// Drops the lowest row of a beat that holds several.
template <class Config, bool Indexed>
inline void drop_row(UInt<chunk_bits> (&chunk)[Shape<Config>::row_chunks]) {
  typedef Shape<Config> S;
  const int bits = RowLayout<Config, Indexed>::bits;
  const int whole = bits / chunk_bits;
  const int offset = bits % chunk_bits;
  for (int c = 0; c < S::row_chunks; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    UInt<chunk_bits> value = 0;
    if (c + whole < S::row_chunks) value = chunk[c + whole] >> offset;
    if (offset != 0 && c + whole + 1 < S::row_chunks) value |= chunk[c + whole + 1] << (chunk_bits - offset);
    chunk[c] = value;
  }
}

template <class Config, bool Indexed>
inline void cut_rows(unsigned int rows, hls::stream<Beat<Config> >& beats, hls::stream<WeightRow<Config> >& out) {
  typedef RowLayout<Config, Indexed> Layout;
  typedef Shape<Config> S;
  UInt<chunk_bits> chunk[S::row_chunks];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=chunk complete
#endif
  int left = 0;  // rows left in the beat
  for (unsigned int r = 0; r < rows; ++r) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE
#endif
    if (left == 0) {
      for (int b = 0; b < Layout::beats; ++b) {
        UInt<chunk_bits> part[S::chunks];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=part complete
#endif
        cut_beat<Config>(beats.read(), part);
        for (int c = 0; c < S::chunks; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          chunk[b * S::chunks + c] = part[c];
        }
      }
      left = Layout::per_beat;
    }
    WeightRow<Config> row;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=row.value complete
#pragma HLS ARRAY_PARTITION variable=row.index complete
#endif
    cut_row<Config, Indexed>(chunk, row);
    out.write(row);
    drop_row<Config, Indexed>(chunk);
    --left;
  }
}

template <class Config>
inline void cut_parameters(unsigned int channels, hls::stream<Beat<Config> >& beats, hls::stream<Parameters>& out) {
  typedef Shape<Config> S;
  UInt<chunk_bits> chunk[S::chunks];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=chunk complete
#endif
  Parameters record;
  record.bias = 0;
  record.multiplier = 0;
  record.residual_multiplier = 0;
  record.shift = 0;
  record.residual_shift = 0;
  uint32_t low_bias = 0;
  int left = 0;  // chunks left in the beat
  for (unsigned int half = 0; half < 2 * parameter_records<Config>(channels); ++half) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=2 max=1024
#pragma HLS PIPELINE II=1
#endif
    if (left == 0) {
      cut_beat<Config>(beats.read(), chunk);
      left = S::chunks;
    }
    const UInt<chunk_bits> bits = chunk[0];
    for (int c = 0; c < S::chunks - 1; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      chunk[c] = chunk[c + 1];
    }
    --left;
    if (half % 2 == 0) {
      low_bias = static_cast<uint32_t>(bits & 0xffffffffu);
      record.multiplier = static_cast<uint16_t>(bits >> 32 & 0xffff);
      record.residual_multiplier = static_cast<uint16_t>(bits >> 48 & 0xffff);
    } else {
      record.shift = static_cast<uint8_t>(bits & 0xff);
      record.residual_shift = static_cast<uint8_t>(bits >> 16 & 0xff);
      const uint64_t high_bias = static_cast<uint64_t>(bits >> 8 & 0xff);
      record.bias = keep_signed<bias_bits>(static_cast<int64_t>(high_bias << 32 | low_bias));
      out.write(record);
    }
  }
}

// Cuts packets into parameters and rows.
template <class Config>
void cut_weights(hls::stream<PacketOrder>& packets, hls::stream<Beat<Config> >& beats,
                 hls::stream<Parameters>& parameters, hls::stream<WeightRow<Config> >& rows) {
  bool more = true;
  for (unsigned int n = 0; n < max_instructions + 1 && more; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=4097
#endif
    const PacketOrder order = packets.read();
    more = order.groups != 0;
    for (unsigned int group = 0; group < order.groups; ++group) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#endif
      const unsigned int left = order.channels - group * Config::lanes_k;
      cut_parameters<Config>(left < Config::lanes_k ? left : Config::lanes_k, beats, parameters);
      if (Config::gather && order.indexed) {
        cut_rows<Config, Config::gather>(order.rows, beats, rows);
      } else {
        cut_rows<Config, false>(order.rows, beats, rows);
      }
    }
  }
}

}  // namespace cascade

#endif
