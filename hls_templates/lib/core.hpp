// The core: owns banks, tables and results, and runs a segment of a pass of the program.
#ifndef CASCADE_CORE_HPP
#define CASCADE_CORE_HPP

#include "convolve.hpp"
#include "load.hpp"
#include "pool.hpp"
#include "store.hpp"

namespace cascade {

// `count` instructions, the first one of the pass's if `begins`. `lanes` lanes hold an image of this pass, the first of
// them image `first_image`. `taken` says whether the array takes all weights: from the first one on that it does not,
// nothing is stored.
template <class Config>
void run_core(const Header header, unsigned int count, bool begins, unsigned int first_image, unsigned int lanes,
              hls::stream<Instruction>& instructions, hls::stream<Beat<Config> >& data,
              hls::stream<Parameters>& parameters, hls::stream<WeightRow<Config> >& rows,
              hls::stream<StoreOrder>& orders, hls::stream<Beat<Config> >& records, bool& taken) {
  static Granule<Config> bank[Config::lanes_p][Shape<Config>::granules][Config::bank_depth];
  static Int<result_bits> result[Config::lanes_p][Config::drain_k][Shape<Config>::result_rows];
  static UInt<8> table[Shape<Config>::table_lanes][Config::table_words * 256];
  static WeightRow<Config> replay[Config::weight_depth];
  static Slice<Config> transformed[Config::lanes_p][Shape<Config>::slices][2 * Config::transform_depth];
  static Taps taps;
  static Stripes stripes;
  static LaneWindow windows[Config::lanes_p];
  bool all_taken = true;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=bank complete dim=1
#pragma HLS ARRAY_PARTITION variable=bank complete dim=2
#pragma HLS ARRAY_PARTITION variable=result complete dim=1
#pragma HLS ARRAY_PARTITION variable=result complete dim=2
#pragma HLS BIND_STORAGE variable=result type=RAM_S2P
#pragma HLS ARRAY_PARTITION variable=table complete dim=1
#pragma HLS BIND_STORAGE variable=table type=RAM_S2P
#pragma HLS AGGREGATE variable=replay
#pragma HLS BIND_STORAGE variable=replay type=RAM_S2P
#pragma HLS ARRAY_PARTITION variable=transformed complete dim=1
#pragma HLS ARRAY_PARTITION variable=transformed complete dim=2
#pragma HLS BIND_STORAGE variable=transformed type=RAM_S2P
#pragma HLS ARRAY_PARTITION variable=taps.exponent complete
#pragma HLS ARRAY_PARTITION variable=taps.steps complete
#pragma HLS ARRAY_PARTITION variable=windows complete
  if (Config::bank_ultra) {
#pragma HLS BIND_STORAGE variable=bank type=RAM_S2P impl=URAM
  } else {
#pragma HLS BIND_STORAGE variable=bank type=RAM_S2P
  }
#endif
  const bool narrow = Shape<Config>::two_precisions && header.narrow != 0;
  if (begins) taps = no_taps();
  if (Config::stripes && begins) stripes = all_inside();
  if (Config::stripes && begins) set_windows<Config>(stripes, windows);
  for (unsigned int n = 0; n < count; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#endif
    const Instruction i = instructions.read();
    if (i.opcode == op_table && first_image == 0) fill_tables<Config>(i, data, table);
    if (i.opcode == op_taps) taps = decode_taps(i);
    if (i.opcode == op_conv) {
      all_taken = convolve<Config>(i, taps, windows, narrow, parameters, rows, replay, transformed, bank, result) &&
                  all_taken;
    }
    if (i.opcode == op_max_pool) max_pool<Config>(i, windows, narrow, bank);
    if (Config::stripes && i.opcode == op_shift) shift_lanes<Config>(i, bank);
    if (Config::stripes && i.opcode == op_stripes) {
      stripes = stripes_of(i);
      set_windows<Config>(stripes, windows);
    }
    if (i.opcode == op_load || i.opcode == op_store_result || i.opcode == op_store_map || moves_map(i)) {
      LaneWindow window = first_lane(stripes);
      const unsigned int served = lanes_served<Config>(i, lanes);
      for (unsigned int lane = 0; lane < served; ++lane) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
#endif
        const uint32_t image = first_image + lane;
        const int p = static_cast<int>(lane);
        const LaneRows rows_here = lane_rows<Config>(i, window, i.opcode == op_spill ? i.in_height : i.out_height);
        if (Config::stripes) next_lane(stripes, window);
        if (i.opcode == op_load) load_image<Config>(i, p, rows_here, narrow, data, table, bank);
        if (i.opcode == op_store_result && all_taken) send_result<Config>(header, image, p, result, orders, records);
        if (i.opcode == op_store_map && all_taken) {
          const bool striped = Config::stripes && i.striped();
          const uint64_t item = striped ? static_cast<uint64_t>(first_image) * Config::lanes_p + lane : image;
          send_map<Config>(i, item, p, narrow, bank, orders, records);
        }
        if (Config::external_maps && i.opcode == op_fill) fill_rows<Config>(i, p, rows_here, narrow, data, bank);
        if (Config::external_maps && i.opcode == op_spill && all_taken) {
          send_rows<Config>(i, p, rows_here, narrow, bank, orders, records);
        }
      }
    }
  }
  StoreOrder last;
  last.first = 0;
  last.count = 0;
  last.of_maps = false;
  orders.write(last);
  taken = all_taken;
}

}  // namespace cascade

#endif
