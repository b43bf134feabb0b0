// The engine: checks the program, then runs it once per pass as a dataflow region of five processes.
//
//   gmem0 -> fetch_program -> run_core -> store_records -> gmem0
//   gmem1 -> fetch_weights -> cut_weights -^
#ifndef CASCADE_ENGINE_HPP
#define CASCADE_ENGINE_HPP

#include "core.hpp"
#include "fetch.hpp"

namespace cascade {

// `Depths` says how deep the streams are that an engine's parameters decide. Each process gets what it needs of the
// header.
template <class Config, class Depths, class ProgramMemory, class WeightMemory, class ImageMemory, class ResultMemory>
void run_pass(ProgramMemory program, WeightMemory weights, ImageMemory images, ResultMemory results,
              const Header header, unsigned int instruction_count, unsigned int image_beats, unsigned int weight_count,
              unsigned int first_image, unsigned int lanes, bool& taken) {
#ifdef __SYNTHESIS__
#pragma HLS DATAFLOW
#endif
  hls::stream<Instruction> instructions;
  hls::stream<PacketOrder> packets;
  hls::stream<Beat<Config> > data;
  hls::stream<Beat<Config> > weight_beats;
  hls::stream<Parameters> parameters;
  hls::stream<WeightRow<Config> > rows;
  hls::stream<StoreOrder> orders;
  hls::stream<Beat<Config> > records;
#ifdef __SYNTHESIS__
#pragma HLS STREAM variable=instructions depth=4
#pragma HLS STREAM variable=packets depth=8
#pragma HLS STREAM variable=data depth=64
#pragma HLS STREAM variable=weight_beats depth=64
#pragma HLS STREAM variable=parameters depth=Depths::parameters_ahead
#pragma HLS STREAM variable=rows depth=Depths::rows_ahead
#pragma HLS STREAM variable=orders depth=4
#pragma HLS STREAM variable=records depth=32
#endif
  fetch_program<Config>(program, images, instruction_count, image_beats, first_image, lanes, instructions, data,
                        packets);
  fetch_weights<Config>(weights, weight_count, weight_beats);
  cut_weights<Config>(packets, weight_beats, parameters, rows);
  run_core<Config>(header, first_image, lanes, instructions, data, parameters, rows, orders, records, taken);
  store_records<Config>(results, orders, records);
}

template <class Config, class ProgramMemory, class WeightMemory, class ImageMemory, class ResultMemory, class MapMemory>
void run(ProgramMemory program, WeightMemory weights, ImageMemory images, ResultMemory results, MapMemory,
         unsigned int image_count, unsigned int* status) {
  Header header;
  int error = check_program<Config>(program, image_count, header);
  const bool wide = Shape<Config>::two_precisions && header.narrow == 0;
  const unsigned int lanes = wide ? Shape<Config>::wide_lanes : Config::lanes_p;
  unsigned int passes = 0;
  if (error == error_none) {
    passes = wide ? divide_up(image_count, Shape<Config>::wide_lanes) : divide_up(image_count, Config::lanes_p);
  }
  for (unsigned int pass = 0; pass < passes && error == error_none; ++pass) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1250
#endif
    const unsigned int first_image = pass * lanes;
    const unsigned int left = image_count - first_image;
    bool taken = true;
    run_pass<Config, Shape<Config> >(program, weights, images, results, header, header.instructions,
                                     header.image_pitch / Shape<Config>::bus_bytes, header.weight_beats, first_image,
                                     left < lanes ? left : lanes, taken);
    if (!taken) error = error_weight;
  }
  *status = static_cast<unsigned int>(error);
}

}  // namespace cascade

#endif
