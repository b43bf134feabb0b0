// Takes finished positions out of the array, or tiles of them out of the fold: DrainK output channels per lane and
// cycle, each through bias, residual, requantise and clip, into the bank (granule by granule) or into the results.
// Residual words come through the bank's read port in cycles in which the walker cannot use it; after one cycle of
// waiting the drain goes first. What comes next is prepared in registers (cascade_turn), from which every decision
// starts. Latency from a channel's turn to its write: two cycles and the requantiser's.
module cascade_drain
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned ResultAddressBits = result_address_bits(Engine),
  localparam int unsigned ChunkBits = chunk_bits(Engine),
  localparam int unsigned Granule = granule_channels(Engine),
  localparam int unsigned Granules = granules_per_word(Engine),
  localparam int unsigned OutputBits = output_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine)
) (
  input  logic                                      clk,
  input  logic                                      rst_n,
  input  logic                                      narrow,  // the program's precision
  input  logic                                      start,
  input  operation_t                                operation,
  output logic                                      done,  // one cycle: the last write of the instruction is made
  output error_e                                    problem,
  input  logic                                      handoff,  // a position, or a tile, is finished
  output logic                                      tile_drained,  // one cycle: its last chunk is read
  // one chunk of its sums: `chosen` comes one cycle later
  output logic                                      choose,
  output logic [ChunkBits-1:0]                      choose_chunk,
  output logic [OutputBits-1:0]                     tile_row,
  output logic [OutputBits-1:0]                     tile_column,
  input  logic signed [Engine.accumulator_bits-1:0] chosen[Engine.drain_k][Engine.lanes_p],
  output logic                                      stalled,  // waiting for the bank's read port
  output logic                                      fetched,  // once a position: it needs no more residual words
  // the channels' parameters
  output logic                                      parameters_read,
  output logic [ChunkBits-1:0]                      parameters_chunk,
  output logic                                      parameters_release,
  input  parameters_t [Engine.drain_k-1:0]          parameters,
  // the bank's read port
  output logic                                      fetch_wanted,
  output logic                                      fetch_urgent,
  input  logic                                      fetch_allowed,
  output logic [BankBits-1:0]                       fetch_address,
  input  logic [WordBits-1:0]                       bank_word[Engine.lanes_p],
  // writes
  output logic                                      bank_write,
  output logic [Granules-1:0]                       bank_granules[halves(Engine)],
  output logic [BankBits-1:0]                       bank_address,
  output logic [WordBits-1:0]                       bank_data[Engine.lanes_p],
  output logic                                      result_write,
  output logic [ResultAddressBits-1:0]              result_address,
  output logic [ResultBits-1:0]                     result_data[Engine.lanes_p]
);
  localparam int unsigned StoredBits = stored_bits(Engine);
  localparam int unsigned ElementBits = index_bits(Engine);
  localparam int unsigned Parts = Granule / Engine.drain_k;  // chunks in a granule
  localparam int unsigned PartBits = index_width(Parts);
  localparam int unsigned GranuleIndexBits = index_width(Granules);
  localparam int unsigned FinishBits = $clog2(Engine.drain_k + 3);
  localparam int unsigned OperandBits = Engine.activation_bits + 1;
  localparam int unsigned TotalBits = maximum(Engine.accumulator_bits, Engine.bias_bits) + 1;
  localparam int unsigned Latency = requantise_latency(TotalBits, port_bits(Engine));

  instruction_t i;
  assign i = operation.code;

  // What goes along with a chunk through the requantiser.
  typedef struct packed {
    logic valid;
    logic write;  // its granule is complete
    logic final_chunk;  // of the instruction
    logic [Engine.drain_k-1:0] wanted;  // channels below K
    logic [PartBits-1:0] part;
    logic [GranuleIndexBits-1:0] granule;
    logic [BankBits-1:0] bank_address;
    logic [ResultAddressBits-1:0] result_address;
    logic out_of_range;
  } chunk_t;

  // The chunk whose turn it is.
  chunk_t turn;
  logic issue, position_ends, turn_tile_ends, group_ends, instruction_ends, needs_word, later_word, word_outside;
  logic running, active, waited, announced;
  logic filling;  // the first turn is prepared
  logic [Engine.drain_k-1:0] pause;  // a bit for each cycle that the results before still leave in
  logic [ElementBits-1:0] turn_element;
  logic [Engine.drain_k-1:0] turn_residual_wanted;

  assign active = handoff || running;
  assign fetch_wanted = active && !pause[0] && needs_word;
  assign fetch_urgent = waited;
  assign issue = active && !pause[0] && (!needs_word || fetch_allowed);
  assign stalled = fetch_wanted && !fetch_allowed;
  assign fetched = issue && !later_word && !announced;
  assign tile_drained = issue && turn_tile_ends;
  assign choose = issue;
  assign parameters_read = issue;
  assign parameters_chunk = choose_chunk;
  assign parameters_release = issue && group_ends;

  cascade_turn #(
    .Engine(Engine)
  ) i_turn (
    .clk,
    .rst_n,
    .start,
    .operation,
    .take(issue || start || filling),
    .chunk(choose_chunk),
    .tile_row,
    .tile_column,
    .position_ends,
    .tile_ends(turn_tile_ends),
    .group_ends,
    .instruction_ends,
    .needs_word,
    .later_word,
    .word_address(fetch_address),
    .residual_element(turn_element),
    .residual_wanted(turn_residual_wanted),
    .wanted(turn.wanted),
    .granule_ends(turn.write),
    .part(turn.part),
    .granule(turn.granule),
    .bank_address(turn.bank_address),
    .result_address(turn.result_address),
    .output_outside(turn.out_of_range),
    .word_outside
  );
  assign turn.valid = issue;
  assign turn.final_chunk = instruction_ends;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      filling <= 1'b0;
      waited <= 1'b0;
      announced <= 1'b0;
      pause <= '0;
    end else begin
      running <= active && !tile_drained;
      filling <= start;
      waited <= stalled;
      announced <= (announced || fetched) && !(issue && position_ends);
      pause <= Engine.drain_k'({1'b0, pause | {Engine.drain_k{issue && i.flags.to_result}}} >> 1);
    end
  end

  chunk_t late;
  chunk_t pipeline[Latency+1];
  logic fetch_now;  // the bank's word is this chunk's
  logic [Engine.drain_k-1:0] residual_wanted;
  logic [ElementBits-1:0] residual_element;
  logic [WordBits-1:0] residual_word[Engine.lanes_p];
  logic [WordBits-1:0] residual_here[Engine.lanes_p];
  logic signed [OperandBits-1:0] residual[Engine.drain_k][Engine.lanes_p];
  logic signed [15:0] requantised[Engine.drain_k][Engine.lanes_p];
  logic out_of_range;

  assign late = pipeline[Latency];

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      for (int unsigned n = 0; n <= Latency; n++) pipeline[n] <= '0;
      out_of_range <= 1'b0;
    end else begin
      pipeline[0] <= turn;
      for (int unsigned n = 0; n < Latency; n++) pipeline[n+1] <= pipeline[n];
      out_of_range <= issue && (turn.out_of_range || word_outside);
    end
    fetch_now <= needs_word;
    residual_element <= turn_element;
    residual_wanted <= turn_residual_wanted;
    if (pipeline[0].valid && fetch_now) residual_word <= bank_word;
  end
  assign problem = out_of_range ? ErrorAddress : ErrorNone;

  always_comb begin
    for (int unsigned p = 0; p < Engine.lanes_p; p++) residual_here[p] = fetch_now ? bank_word[p] : residual_word[p];
  end
  for (genvar d = 0; d < Engine.drain_k; d++) begin : g_residual
    logic [ElementBits-1:0] index;
    assign index = Engine.sub_row == 1 ? '0 : residual_element + ElementBits'(d);
    for (genvar p = 0; p < wide_lanes(Engine); p++) begin : g_lane
      if (two_precisions(Engine)) begin : g_pair
        logic [2*StoredBits-1:0] element;
        logic signed [OperandBits-1:0] value[2];
        cascade_lane_pair #(
          .SubRow(Engine.sub_row),
          .NarrowBits(StoredBits)
        ) i_pair (
          .narrow,
          .index,
          .lower(residual_here[p]),
          .upper(residual_here[wide_lanes(Engine)+p]),
          .element
        );
        cascade_pair_values #(
          .NarrowBits(StoredBits)
        ) i_values (
          .narrow,
          .is_signed(i.flags.residual_signed),
          .element,
          .value
        );
        assign residual[d][p] = residual_wanted[d] ? value[0] : '0;
        assign residual[d][wide_lanes(Engine)+p] = residual_wanted[d] ? value[1] : '0;
      end else begin : g_one
        logic [Engine.sub_row-1:0][StoredBits-1:0] word;
        logic [StoredBits-1:0] element;
        assign word = residual_here[p];
        assign element = word[index];
        assign residual[d][p] = residual_wanted[d] ?
            $signed({i.flags.residual_signed && element[StoredBits-1], element}) : '0;
      end
    end
  end

  for (genvar p = 0; p < Engine.lanes_p; p++) begin : g_lane
    for (genvar d = 0; d < Engine.drain_k; d++) begin : g_channel
      cascade_requantise #(
        .AccumulatorBits(Engine.accumulator_bits),
        .BiasBits(Engine.bias_bits),
        .ResidualBits(OperandBits),
        .ResidualShiftMax(Engine.tile == 0 ? 0 : 15),
        .PortBits(port_bits(Engine))
      ) i_requantise (
        .clk,
        .accumulator(chosen[d][p]),
        .bias(Engine.bias_bits'({parameters[d].bias_high, parameters[d].bias_low})),
        .residual(residual[d][p]),
        .multiplier(parameters[d].multiplier),
        .residual_multiplier(parameters[d].residual_multiplier),
        .residual_shift(Engine.tile == 0 ? '0 : parameters[d].residual_shift),
        .shift(parameters[d].shift),
        .lower(i.lower),
        .upper(i.upper),
        .result(requantised[d][p])
      );
    end
  end

  cascade_granules #(
    .Engine(Engine)
  ) i_granules (
    .clk,
    .narrow,
    .valid(late.valid),
    .part(late.part),
    .granule(late.granule),
    .finished(requantised),
    .bank_granules,
    .bank_data
  );

  // Results leave one by one, whatever Engine.drain_k is: a result layer is small.
  logic signed [15:0] serial[Engine.drain_k][Engine.lanes_p];
  logic [Engine.drain_k-1:0] serial_wanted;
  logic [ResultAddressBits-1:0] serial_address;
  logic [FinishBits-1:0] finishing;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      bank_write <= 1'b0;
      serial_wanted <= '0;
      finishing <= '0;
      done <= 1'b0;
    end else begin
      bank_write <= late.valid && late.write && !i.flags.to_result && !late.out_of_range;
      if (late.valid && i.flags.to_result && !late.out_of_range) serial_wanted <= late.wanted;
      else serial_wanted <= (Engine.drain_k)'({1'b0, serial_wanted} >> 1);
      if (late.valid && late.final_chunk) begin
        finishing <= i.flags.to_result ? FinishBits'(Engine.drain_k + 1) : FinishBits'(1);
      end else if (finishing != '0) finishing <= finishing - 1'b1;
      done <= finishing == FinishBits'(1);
    end
    if (late.valid) bank_address <= late.bank_address;
    if (late.valid) begin
      serial <= requantised;
      serial_address <= late.result_address;
    end else begin
      for (int unsigned d = 0; d + 1 < Engine.drain_k; d++) serial[d] <= serial[d+1];
      serial_address <= serial_address + 1'b1;
    end
  end
  assign result_write = serial_wanted[0];
  assign result_address = serial_address;
  always_comb for (int unsigned p = 0; p < Engine.lanes_p; p++) result_data[p] = serial[0][p];

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (!(handoff && running)) else $error("%m: a position arrived before the last one had left");
  end
`endif
endmodule
