// Feeds the modules of the tile mode from files and writes what comes out, for test_rtl_modules_tile.py.
// Everything is driven at the falling edge, so that no order of events within a rising edge matters.

// Pauses: a bit that is as often 0 as 1.
class pauses;
  int unsigned state = 1;
  function logic next();
    state = state * 32'd1664525 + 32'd1013904223;
    return state[31];
  endfunction
endclass

module transform_bench #(
  parameter string Name = "",
  parameter int unsigned Tile = 4,
  parameter int unsigned InBits = 9,
  parameter int unsigned OutBits = 12
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  logic rst_n, enable, four, in_valid, out_soon, out_valid;
  logic signed [InBits-1:0] in_word[2];
  logic signed [OutBits-1:0] out_word[2];
  cascade_transform #(
    .Tile(Tile),
    .Elements(2),
    .InBits(InBits),
    .OutBits(OutBits)
  ) dut (.*);

  initial begin
    int in, out, kind, a, b, idle;
    logic more;
    automatic pauses random = new;
    finished = 1'b0;
    {rst_n, enable, in_valid, four} = '0;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    more = 3 == $fscanf(in, "%d %d %d", kind, a, b);
    idle = 0;
    while (idle < 100) begin
      @(negedge clk);
      idle++;
      if (idle > 50) four = kind == 4;
      enable = random.next() || random.next();
      in_valid = more && four == (kind == 4) && random.next();
      in_word = '{InBits'(a), InBits'(b)};
      if (out_valid && enable) $fdisplay(out, "%0d %0d", out_word[0], out_word[1]);
      if (in_valid && enable) begin
        more = 3 == $fscanf(in, "%d %d %d", kind, a, b);
        idle = 0;
      end
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module input_bench
  import cascade_pkg::*;
#(
  parameter string Name = "",
  parameter int unsigned Tile = 4,
  parameter int unsigned SubRow = 4,
  parameter int unsigned TransformCycles = 1
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  localparam int unsigned LanesP = 2;
  localparam int unsigned ActivationBits = 8;
  localparam int unsigned BankDepth = 1000;
  localparam int unsigned TransformDepth = 200;
  localparam int unsigned WordBits = SubRow * ActivationBits;
  localparam int unsigned OperandBits = operand_width(Tile, ActivationBits);
  logic rst_n, in_valid, in_ready, out_valid, out_ready, last, start, taps_valid;
  logic read_near, read_allowed, tile_here, tile_read, buffer_read;
  logic [9:0] read_address;
  logic [8:0] buffer_address;
  logic [WordBits-1:0] bank_word[LanesP];
  logic [WordBits-1:0] bank[LanesP][BankDepth];
  logic [SubRow*OperandBits-1:0] buffer_word[LanesP];
  logic [BlockBits-1:0] in_beat;
  operation_t operation;
  window_t windows[LanesP];
  assign windows = '{default: EveryRow};
  taps_t taps;
  error_e problem;
  function automatic engine_t engine();
    engine = DefaultEngine;
    engine.bus_bits = BlockBits;  // a beat is an instruction
    engine.lanes_p = LanesP;
    engine.sub_row = SubRow;
    engine.activation_bits = ActivationBits;
    engine.bank_depth = BankDepth;
    engine.tile = Tile;
    engine.transform_cycles = TransformCycles;
    engine.transform_depth = TransformDepth;
  endfunction
  cascade_decode #(
    .Engine(engine())
  ) i_decode (
    .in_last(1'b0),
    .taps_ready(1'b1),
    .header('{classes: 32'd10, default: '0}),
    .*
  );
  cascade_tile_input #(
    .Engine(engine())
  ) i_input (.*);
  always_ff @(posedge clk) begin
    if (read_near && read_allowed) for (int p = 0; p < LanesP; p++) bank_word[p] <= bank[p][read_address];
  end

  initial begin
    int in, out, tiles, words, waits;
    logic half;
    logic [511:0] code;
    automatic pauses random = new;
    finished = 1'b0;
    {rst_n, in_valid, out_ready, start, tile_read, buffer_read} = '0;
    read_allowed = 1'b1;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    for (int a = 0; a < BankDepth; a++) for (int p = 0; p < LanesP; p++) void'($fscanf(in, "%h", bank[p][a]));
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    while (4 == $fscanf(in, "%d %d %d %h", waits, tiles, words, code)) begin
      in_beat = code;
      in_valid = 1'b1;
      @(negedge clk);
      in_valid = 1'b0;
      while (!out_valid) @(negedge clk);
      $fdisplay(out, "problem %0d", operation.problem);
      start = 1'b1;
      @(negedge clk);
      start = 1'b0;
      half = 1'b0;
      repeat (tiles) begin
        for (int n = 0; n < words; n++) begin
          do begin
            @(negedge clk);
            {buffer_read, tile_read} = '0;
            read_allowed = waits == 0 || random.next();
          end while ((n == 0 && !tile_here) || (waits == 2 && !random.next()));
          buffer_address = 9'(n) + (half ? 9'(TransformDepth) : 9'd0);
          buffer_read = 1'b1;
          tile_read = n == words - 1;
          @(negedge clk);
          {buffer_read, tile_read} = '0;
          $fdisplay(out, "%h %h", buffer_word[0], buffer_word[1]);
        end
        half = !half;
      end
      out_ready = 1'b1;
      @(negedge clk);
      out_ready = 1'b0;
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module fold_bench
  import cascade_pkg::*;
#(
  parameter string Name = "",
  parameter int unsigned Tile = 4,
  parameter int unsigned LanesK = 6,
  parameter int unsigned DrainK = 2,
  parameter int unsigned AccumulatorBits = 30,
  localparam int unsigned ChunkBits = index_width(LanesK / DrainK),
  localparam int unsigned OutputBits = index_width(Tile)
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  localparam int unsigned LanesP = 2;
  logic rst_n, four, handoff, choose, complete, read_enable;
  exponents_t exponents;
  logic [ChunkBits-1:0] last_chunk, choose_chunk, read_chunk;
  logic [OutputBits-1:0] read_row, read_column;
  logic signed [AccumulatorBits-1:0] drained[LanesK][LanesP];
  logic signed [AccumulatorBits-1:0] chosen[DrainK][LanesP];
  logic signed [AccumulatorBits-1:0] read_data[DrainK][LanesP];
  cascade_select #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .DrainK(DrainK),
    .AccumulatorBits(AccumulatorBits)
  ) i_select (
    .enable(choose),
    .chunk(choose_chunk),
    .*
  );
  function automatic engine_t engine();
    engine = DefaultEngine;
    engine.lanes_k = LanesK;
    engine.lanes_p = LanesP;
    engine.drain_k = DrainK;
    engine.tile = Tile;
    engine.accumulator_bits = AccumulatorBits;
  endfunction
  cascade_fold #(
    .Engine(engine())
  ) dut (.*);

  int out, read_tile, read_chunks;
  logic reading;
  always @(negedge clk) begin
    if (complete && !reading) begin
      reading = 1'b1;
      for (int r = 0; r < read_tile; r++) begin
        for (int c = 0; c < read_tile; c++) begin
          for (int n = 0; n < read_chunks; n++) begin
            {read_enable, read_row, read_column, read_chunk} = {1'b1, OutputBits'(r), OutputBits'(c), ChunkBits'(n)};
            @(negedge clk);
            for (int d = 0; d < DrainK; d++) $fdisplay(out, "%0d %0d", read_data[d][0], read_data[d][1]);
          end
        end
      end
      {reading, read_enable} = '0;
    end
  end

  initial begin
    int in, tile, chunks, chunks_before, value;
    logic [MaxTaps*(ExponentBits-1)-1:0] shifts;
    automatic pauses random = new;
    finished = 1'b0;
    {rst_n, handoff, reading, read_enable} = '0;
    chunks_before = 0;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    while (3 == $fscanf(in, "%d %d %h", tile, chunks, shifts)) begin
      if (chunks != chunks_before || tile != read_tile) repeat (200) @(negedge clk);  // of another group, or another instruction
      chunks_before = chunks;
      {read_tile, read_chunks} = {tile, chunks};
      four = tile == 4;
      exponents = shifts;
      repeat ((tile + 2) * (tile + 2)) begin
        for (int k = 0; k < LanesK; k++) begin
          for (int p = 0; p < LanesP; p++) begin
            void'($fscanf(in, "%d", value));
            drained[k][p] = AccumulatorBits'(value);
          end
        end
        last_chunk = ChunkBits'(chunks - 1);
        handoff = 1'b1;
        @(negedge clk);
        handoff = 1'b0;
        repeat (chunks > 2 ? chunks - 1 : 1) @(negedge clk);
        while (random.next() && random.next()) @(negedge clk);
      end
    end
    repeat (200) @(negedge clk);
    $fclose(out);
    finished = 1'b1;
  end
endmodule

// The array's steps and the drain's places of the same instructions.
module walk_bench
  import cascade_pkg::*;
#(
  parameter string Name = "",
  parameter int unsigned Tile = 4
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  localparam int unsigned OutputBits = index_width(Tile);
  logic rst_n, in_valid, in_ready, out_valid, out_ready, last, start, taps_valid, stalled, tile_here, tile_read;
  logic row_step, row_rewind, row_final, row_release, buffer_read, tile_drained;
  logic step_valid, step_word, step_first, step_shift, step_last;
  logic advance, tile_ends, map_ends, walk_ends;
  logic [1:0] step_index;
  logic [8:0] buffer_address, address;
  logic row_here;
  logic last_chunk;
  logic [StoreBits-1:0] out_position, result_position, residual_position;
  logic [OutputBits-1:0] tile_row, tile_column;
  logic [BlockBits-1:0] in_beat;
  operation_t operation;
  taps_t taps;
  error_e problem;
  function automatic engine_t engine();
    engine = DefaultEngine;
    engine.bus_bits = BlockBits;  // a beat is an instruction
    engine.lanes_k = 4;
    engine.slots = 2;
    engine.drain_k = 2;
    engine.sub_row = 4;
    engine.bank_depth = 1000;
    engine.weight_depth = 65535;
    engine.tile = Tile;
    engine.transform_depth = 200;
  endfunction
  cascade_decode #(
    .Engine(engine())
  ) i_decode (
    .in_last(1'b0),
    .taps_ready(1'b1),
    .header('{classes: 32'd10, default: '0}),
    .*
  );
  cascade_tile_walker #(
    .Engine(engine())
  ) i_walker (
    .start(start && operation.code.tile != '0),  // of the others the places alone are tested
    .operation_taps(taps),
    .*
  );
  cascade_place #(.Engine(engine())) i_place (.step(start || advance), .*);
  always_ff @(posedge clk) if (buffer_read) address <= buffer_address;

  initial begin
    int in, out, steps, positions, cycles, waits;
    logic [511:0] tap_code, code;
    automatic pauses random = new;
    finished = 1'b0;
    {rst_n, in_valid, out_ready, start, advance, tile_drained} = '0;
    {row_here, tile_here} = '1;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    while (5 == $fscanf(in, "%d %d %d %h %h", waits, steps, positions, tap_code, code)) begin
      in_beat = tap_code;
      in_valid = 1'b1;
      @(negedge clk);
      in_beat = code;  // the TAPS waits beside it
      while (!in_ready) @(negedge clk);
      @(negedge clk);
      in_valid = 1'b0;
      while (!out_valid) @(negedge clk);
      $fdisplay(out, "problem %0d", operation.problem);
      start = 1'b1;
      @(negedge clk);
      start = 1'b0;
      cycles = 0;
      for (int n = 0; n < steps; cycles++) begin
        if (waits != 0) begin
          tile_here = random.next();
          row_here = random.next();
        end
        tile_drained = waits == 0 || random.next();
        #0;
        if (row_step) begin
          n++;
          $fdisplay(out, "%0d %0d %0d", row_final, row_rewind, row_release);
        end
        @(negedge clk);
        if (step_valid)
          $fdisplay(out, "%0d %0d %0d %0d %0d %0d", step_word, address, step_index, step_first, step_shift, step_last);
        if (problem != ErrorNone) $fdisplay(out, "problem %0d", problem);
      end
      $fdisplay(out, "cycles %0d", cycles);
      {row_here, tile_here} = '1;
      repeat (positions) begin
        $fdisplay(out, "%0d %0d %0d %0d %0d %0d", out_position, residual_position, tile_row, tile_column, tile_ends,
                  map_ends);
        advance = 1'b1;
        @(negedge clk);
        advance = 1'b0;
        if (random.next()) @(negedge clk);
      end
      out_ready = 1'b1;
      @(negedge clk);
      out_ready = 1'b0;
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module tile_bench;
  logic clk = 1'b0;
  always #1 clk = !clk;
  string folder;
  logic go = 1'b0;
  logic [6:0] finished;

  transform_bench #(.Name("transform_4")) i_transform_4 (.clk, .folder, .go, .finished(finished[0]));
  transform_bench #(.Name("transform_2"), .Tile(2), .OutBits(10)) i_transform_2 (
    .clk, .folder, .go, .finished(finished[1]));
  input_bench #(.Name("input_4")) i_input_4 (.clk, .folder, .go, .finished(finished[2]));
  input_bench #(.Name("input_2"), .Tile(2), .TransformCycles(2)) i_input_2 (.clk, .folder, .go, .finished(finished[3]));
  fold_bench #(.Name("fold_4")) i_fold_4 (.clk, .folder, .go, .finished(finished[4]));
  fold_bench #(.Name("fold_2"), .Tile(2), .LanesK(5), .DrainK(1), .AccumulatorBits(20)) i_fold_2 (
    .clk, .folder, .go, .finished(finished[5]));
  walk_bench #(.Name("walk_4")) i_walk_4 (.clk, .folder, .go, .finished(finished[6]));

  initial begin
    int out;
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    // The width of the multipliers' second operand.
    out = $fopen({folder, "/width.out"}, "w");
    for (int unsigned bits = 2; bits <= 8; bits++) begin
      $fdisplay(out, "%0d %0d %0d", cascade_pkg::operand_width(0, bits), cascade_pkg::operand_width(2, bits),
                cascade_pkg::operand_width(4, bits));
    end
    $fclose(out);
    @(negedge clk);
    go = 1'b1;
    while (finished != '1) @(negedge clk);
    $display("tile_bench: done");
    $finish;
  end
endmodule
