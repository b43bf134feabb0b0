// The output transform: folds the sums of each tap, as they leave the array, into a tile's m × m outputs,
// Y[i][j] += A[i][ξy]·A[j][ξx]·(M << exponent), DrainK channels per lane and cycle, all modulo 2^AccumulatorBits.
// Taps of one row go into m partial sums Z[j]; a finished row goes into Y while the next one is folded, and the
// finished tile is read while the next one is. A is `output` of toolflow/numerics/winograd.py: its entries are
// 0, ±1, ±2, ±4 and ±8, and 3 times that at the first and the last tap of F(4,3).
// A tap takes as many cycles as its group has chunks and must not come again within 2 cycles.
// Cost: 2·m + 3 adders for each channel of a chunk and lane, four memories of m values (Z) or m × m (Y) for each
// output channel and lane. Latency from a tile's last handoff to `complete`: its chunks · (1 + m) + 5 cycles at most.
module cascade_fold
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned ChunkBits = chunk_bits(Engine),
  localparam int unsigned OutputBits = output_bits(Engine)
) (
  input  logic                                      clk,
  input  logic                                      rst_n,
  input  logic                                      four,  // F(4,3), not F(2,3)
  input  exponents_t                                exponents,
  input  logic                                      handoff,  // `drained` of the array holds a tap
  input  logic [ChunkBits-1:0]                      last_chunk,  // of the group, at a tile's first handoff
  // one chunk of what the array drained: `chosen` comes one cycle later
  output logic                                      choose,
  output logic [ChunkBits-1:0]                      choose_chunk,
  input  logic signed [Engine.accumulator_bits-1:0] chosen[Engine.drain_k][Engine.lanes_p],
  // finished tiles
  output logic                                      complete,  // one cycle: a tile can be read
  input  logic                                      read_enable,
  input  logic [OutputBits-1:0]                     read_row,
  input  logic [OutputBits-1:0]                     read_column,
  input  logic [ChunkBits-1:0]                      read_chunk,
  output logic signed [Engine.accumulator_bits-1:0] read_data[Engine.drain_k][Engine.lanes_p]
);
  localparam int unsigned Elements = Engine.drain_k * Engine.lanes_p;
  localparam int unsigned YDepth = Engine.tile << ChunkBits;

  typedef logic [ChunkBits-1:0] chunk_t;
  typedef logic [OutputBits-1:0] output_t;
  typedef logic [Engine.accumulator_bits-1:0] value_t;
  typedef value_t [Elements-1:0] values_t;

  logic is_4;
  logic [2:0] last_tap;
  output_t last_output;
  assign is_4 = Engine.tile == 4 && four;
  assign last_tap = is_4 ? 3'd5 : 3'd3;
  assign last_output = is_4 ? output_t'(3) : output_t'(1);

  // Taps and chunks, as they come.
  typedef struct packed {
    logic       valid;
    chunk_t     chunk;
    chunk_t     last;  // of its tap
    logic [2:0] tap_y;
    logic [2:0] tap_x;
  } step_t;

  step_t now, shifting, scaling, adding;
  logic running, tap_ends;
  logic [5:0] tap;
  logic [2:0] tap_y, tap_x;
  chunk_t chunk, group_last, last;
  logic [ExponentBits-2:0] exponent;
  assign last = handoff && tap == '0 ? last_chunk : group_last;
  assign choose = handoff || running;
  assign choose_chunk = chunk;
  assign tap_ends = chunk == last;
  assign now = '{valid: choose, chunk: chunk, last: last, tap_y: tap_y, tap_x: tap_x};

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      chunk <= '0;
      tap <= '0;
      tap_y <= '0;
      tap_x <= '0;
      shifting.valid <= 1'b0;
      scaling.valid <= 1'b0;
      adding.valid <= 1'b0;
    end else begin
      shifting <= now;
      scaling <= shifting;
      adding <= scaling;
      if (choose) begin
        running <= !tap_ends;
        chunk <= chunk + 1'b1;
        if (tap_ends) begin
          chunk <= '0;
          tap <= tap + 6'd1;
          tap_x <= tap_x + 3'd1;
          if (tap_x == last_tap) begin
            tap_x <= '0;
            tap_y <= tap_y + 3'd1;
            if (tap_y == last_tap) begin
              tap_y <= '0;
              tap <= '0;
            end
          end
        end
      end
    end
    group_last <= last;
    exponent <= exponents[tap];
  end

  // How a tap enters an output: a coefficient of A times what is 3 times larger already at the outer taps of F(4,3).
  typedef struct packed {
    logic       zero;
    logic [1:0] shift;
    logic       minus;
  } term_t;

  function automatic term_t term_of(int unsigned out, logic [2:0] tap_1d);
    term_t term;
    if (is_4) begin
      term.zero = (tap_1d == 3'd0 && out != 0) || (tap_1d == 3'd5 && out != 3);
      case (tap_1d)
        3'd0: term.shift = 2'd1;
        3'd1, 3'd2: term.shift = 2'd2;
        3'd5: term.shift = 2'd3;
        default: term.shift = 2'(out);
      endcase
    end else begin
      term.zero = (tap_1d == 3'd0 && out != 0) || (tap_1d == 3'd3 && out != 1);
      term.shift = tap_1d == 3'd0 || tap_1d == 3'd3 ? 2'd1 : 2'd0;
    end
    term.minus = out % 2 == 1 && (tap_1d == 3'd2 || tap_1d == (is_4 ? 3'd4 : 3'd3));
    return term;
  endfunction

  // One adder adds or subtracts: a further lowest bit makes the carry of the complement.
  function automatic value_t sum_of(value_t partial, value_t value, term_t term);
    value_t share;
    share = (term.zero ? '0 : value << term.shift) ^ {Engine.accumulator_bits{term.minus}};
    return value_t'(({partial, term.minus} + {share, term.minus}) >> 1);
  endfunction

  function automatic logic outer(logic [2:0] tap_1d);
    return is_4 && (tap_1d == 3'd0 || tap_1d == 3'd5);
  endfunction

  // Along a row of taps: Z[j], for each chunk.
  values_t shifted, scaled;
  values_t [Engine.tile-1:0] z_before, z;
  term_t [Engine.tile-1:0] row_term;  // of `adding`
  logic row_starts, row_ends;
  always_ff @(posedge clk) begin
    for (int unsigned d = 0; d < Engine.drain_k; d++) begin
      for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
        shifted[d*Engine.lanes_p+p] <= value_t'(chosen[d][p]) << exponent;
      end
    end
    for (int unsigned e = 0; e < Elements; e++) begin
      scaled[e] <= shifted[e] + (outer(scaling.tap_x) ? shifted[e] << 1 : '0);
    end
    for (int unsigned j = 0; j < Engine.tile; j++) row_term[j] <= term_of(j, scaling.tap_x);
    row_starts <= scaling.tap_x == '0;
    row_ends <= scaling.tap_x == last_tap;
  end
  always_comb begin
    for (int unsigned j = 0; j < Engine.tile; j++) begin
      for (int unsigned e = 0; e < Elements; e++) begin
        z[j][e] = sum_of(row_starts ? '0 : z_before[j][e], scaled[e], row_term[j]);
      end
    end
  end

  cascade_ram #(
    .Depth(1 << ChunkBits),
    .PieceBits($bits(z)),
    .Style("distributed")
  ) i_z (
    .clk,
    .write_enable(adding.valid && !row_ends),
    .write_address(adding.chunk),
    .write_data(z),
    .read_enable(scaling.valid),
    .read_address(scaling.chunk),
    .read_data(z_before)
  );

  // Along the columns: a finished row's Z into every row i of Y, chunk after chunk.
  typedef struct packed {
    logic       valid;
    chunk_t     chunk;
    chunk_t     last;
    output_t    row;
    logic [2:0] tap_y;
  } sweep_t;

  sweep_t sweep, sweep_scaling, sweep_adding;
  logic sweep_starts, last_row, y_starts, y_finished;
  term_t column_term;  // of `sweep_adding`
  values_t [Engine.tile-1:0] row_z, row_scaled, y_before, y;
  assign sweep_starts = adding.valid && row_ends && adding.chunk == '0;
  assign last_row = sweep.row == last_output;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      sweep.valid <= 1'b0;
      sweep_scaling.valid <= 1'b0;
      sweep_adding.valid <= 1'b0;
      complete <= 1'b0;
    end else begin
      sweep_scaling <= sweep;
      sweep_adding <= sweep_scaling;
      complete <= sweep_adding.valid && y_finished && sweep_adding.row == last_output &&
          sweep_adding.chunk == sweep_adding.last;
      if (sweep.valid) begin
        sweep.row <= last_row ? '0 : sweep.row + 1'b1;
        if (last_row) begin
          sweep.chunk <= sweep.chunk + 1'b1;
          sweep.valid <= sweep.chunk != sweep.last;
        end
      end
      if (sweep_starts) begin
        sweep <= '{valid: 1'b1, chunk: '0, last: adding.last, row: '0, tap_y: adding.tap_y};
      end
    end
    for (int unsigned j = 0; j < Engine.tile; j++) begin
      for (int unsigned e = 0; e < Elements; e++) begin
        row_scaled[j][e] <= row_z[j][e] + (outer(sweep_scaling.tap_y) ? row_z[j][e] << 1 : '0);
      end
    end
    for (int unsigned r = 0; r < Engine.tile; r++) begin
      if (32'(sweep_scaling.row) == r) column_term <= term_of(r, sweep_scaling.tap_y);
    end
    y_starts <= sweep_scaling.tap_y == '0;
    y_finished <= sweep_scaling.tap_y == last_tap;
  end
  always_comb begin
    for (int unsigned j = 0; j < Engine.tile; j++) begin
      for (int unsigned e = 0; e < Elements; e++) begin
        y[j][e] = sum_of(y_starts ? '0 : y_before[j][e], row_scaled[j][e], column_term);
      end
    end
  end

  cascade_ram #(
    .Depth(1 << ChunkBits),
    .PieceBits($bits(z)),
    .Style("distributed")
  ) i_row (
    .clk,
    .write_enable(adding.valid && row_ends),
    .write_address(adding.chunk),
    .write_data(z),
    .read_enable(sweep.valid && sweep.row == '0),
    .read_address(sweep.chunk),
    .read_data(row_z)
  );

  cascade_ram #(
    .Depth(YDepth),
    .PieceBits($bits(y)),
    .Style(YDepth > 64 ? "auto" : "distributed")
  ) i_y (
    .clk,
    .write_enable(sweep_adding.valid && !y_finished),
    .write_address({sweep_adding.row, sweep_adding.chunk}),
    .write_data(y),
    .read_enable(sweep_scaling.valid),
    .read_address({sweep_scaling.row, sweep_scaling.chunk}),
    .read_data(y_before)
  );

  values_t [Engine.tile-1:0] finished;
  output_t column;
  cascade_ram #(
    .Depth(YDepth),
    .PieceBits($bits(y)),
    .Style(YDepth > 64 ? "auto" : "distributed")
  ) i_finished (
    .clk,
    .write_enable(sweep_adding.valid && y_finished),
    .write_address({sweep_adding.row, sweep_adding.chunk}),
    .write_data(y),
    .read_enable,
    .read_address({read_row, read_chunk}),
    .read_data(finished)
  );

  always_ff @(posedge clk) if (read_enable) column <= read_column;
  always_comb begin
    for (int unsigned d = 0; d < Engine.drain_k; d++) begin
      for (int unsigned p = 0; p < Engine.lanes_p; p++) read_data[d][p] = $signed(finished[column][d*Engine.lanes_p+p]);
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) begin
      assert (!(handoff && running)) else $error("%m: a tap arrived before the last one had been folded");
      assert (!(sweep_starts && sweep.valid && !(last_row && sweep.chunk == sweep.last)))
      else $error("%m: a row of taps ended before the last one had been folded");
    end
  end
`endif
endmodule
