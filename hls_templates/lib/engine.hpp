// The engine: checks the program, then runs it once per pass as a dataflow region of five processes.
//
//   gmem0 -> fetch_program -> run_core -> store_records -> gmem0
//   gmem1 -> fetch_weights -> cut_weights -^
//
// A FILL after a SPILL reads what that wrote: there the pass is cut, and the region runs again from the FILL on.
#ifndef CASCADE_ENGINE_HPP
#define CASCADE_ENGINE_HPP

#include "core.hpp"
#include "fetch.hpp"

namespace cascade {

// Instructions of a pass that run without a cut, and their beats of the weight stream.
struct Segment {
  unsigned int first_instruction;
  unsigned int instructions;
  Address first_weight;
  unsigned int weights;
};

// The segment behind `before`, or a pass's first one. A program without maps is one segment.
template <class Config, class Memory>
inline Segment next_segment(Memory program, const Header& header, const Segment& before) {
  Segment segment;
  segment.first_instruction = before.first_instruction + before.instructions;
  segment.first_weight = before.first_weight + before.weights;
  segment.instructions = header.instructions;
  segment.weights = header.weight_beats;
  if (!Config::external_maps || header.map_bytes == 0) return segment;
  Wide weights = 0;
  bool spilled = false;
  bool cut = false;
  unsigned int count = 0;
  for (unsigned int index = segment.first_instruction; index < header.instructions && !cut; ++index) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#endif
    uint32_t word[block_words];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
    read_block<Config>(program, index + 1, word);
    const Instruction i = decode_instruction(word);
    cut = spilled && i.opcode == op_fill;
    spilled = spilled || i.opcode == op_spill;
    if (i.opcode == op_conv) weights += packet_beats<Config>(i);
    if (!cut) ++count;
  }
  segment.instructions = count;
  segment.weights = static_cast<unsigned int>(weights);
  return segment;
}

// `Depths` says how deep the streams are that an engine's parameters decide. Each process gets what it needs of the
// header.
template <class Config, class Depths, class ProgramMemory, class WeightMemory, class ImageMemory, class ResultMemory,
          class MapMemory>
void run_segment(ProgramMemory program, WeightMemory weights, ImageMemory images, ResultMemory results, MapMemory maps,
                 const Header header, unsigned int first_instruction, unsigned int instruction_count,
                 unsigned int image_beats, Address first_weight, unsigned int weight_count, unsigned int first_image,
                 unsigned int lanes, bool& taken) {
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
  fetch_program<Config>(program, images, maps, first_instruction, instruction_count, image_beats, first_image, lanes,
                        instructions, data, packets);
  fetch_weights<Config>(weights, first_weight, weight_count, weight_beats);
  cut_weights<Config>(packets, weight_beats, parameters, rows);
  run_core<Config>(header, instruction_count, first_instruction == 0, first_image, lanes, instructions, data, parameters,
                   rows, orders, records, taken);
  store_records<Config>(results, maps, orders, records);
}

template <class Config, class ProgramMemory, class WeightMemory, class ImageMemory, class ResultMemory, class MapMemory>
void run(ProgramMemory program, WeightMemory weights, ImageMemory images, ResultMemory results, MapMemory maps,
         unsigned int image_count, unsigned int* status) {
  Header header;
  int error = check_program<Config>(program, image_count, header);
  const bool wide = Shape<Config>::two_precisions && header.narrow == 0;
  const bool striped = Config::stripes && header.striped != 0;
  const unsigned int lanes = striped ? 1 : wide ? Shape<Config>::wide_lanes : Config::lanes_p;  // images of a pass
  unsigned int passes = 0;
  if (error == error_none) {
    passes = wide ? divide_up(image_count, Shape<Config>::wide_lanes) : divide_up(image_count, Config::lanes_p);
    if (striped) passes = image_count;
  }
  for (unsigned int pass = 0; pass < passes && error == error_none; ++pass) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1250
#endif
    const unsigned int first_image = pass * lanes;
    const unsigned int left = image_count - first_image;
    Segment segment;
    segment.first_instruction = 0;
    segment.instructions = 0;
    segment.first_weight = 0;
    segment.weights = 0;
    for (unsigned int n = 0; n < header.instructions && error == error_none &&
                             segment.first_instruction + segment.instructions < header.instructions; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#endif
      segment = next_segment<Config>(program, header, segment);
      bool taken = true;
      run_segment<Config, Shape<Config> >(
          program, weights, images, results, maps, header, segment.first_instruction, segment.instructions,
          header.image_pitch / Shape<Config>::bus_bytes, segment.first_weight, segment.weights, first_image,
          left < lanes ? left : lanes, taken);
      if (!taken) error = error_weight;
    }
  }
  *status = static_cast<unsigned int>(error);
}

}  // namespace cascade

#endif
