// Feeds single modules of the engine from files and writes what comes out, for test_rtl_modules.py.
// Everything is driven at the falling edge, so that no order of events within a rising edge matters.

module requantise_bench
  import cascade_pkg::*;
#(
  parameter string Name = "",
  parameter int unsigned AccumulatorBits = 32,
  parameter int unsigned BiasBits = 32,
  parameter int unsigned ResidualBits = 9,
  parameter int unsigned ResidualShiftMax = 0,
  parameter int unsigned PortBits = 25
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  localparam int unsigned Latency = requantise_latency(maximum(AccumulatorBits, BiasBits) + 1, PortBits);
  logic signed [AccumulatorBits-1:0] accumulator;
  logic signed [BiasBits-1:0] bias;
  logic signed [ResidualBits-1:0] residual;
  logic [3:0] residual_shift;
  logic [15:0] multiplier, residual_multiplier;
  logic [5:0] shift;
  logic signed [15:0] lower, upper, result;
  cascade_requantise #(
    .AccumulatorBits(AccumulatorBits),
    .BiasBits(BiasBits),
    .ResidualBits(ResidualBits),
    .ResidualShiftMax(ResidualShiftMax),
    .PortBits(PortBits)
  ) dut (.*);

  initial begin
    int in, out, r, m, rm, rs, s, lo, up;
    longint a, b;
    logic [Latency-1:0] valid;
    logic [Latency-1:0][31:0] bounds;  // the module takes them as they are at its last stage
    finished = 1'b0;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    valid = '0;
    do begin
      @(negedge clk);
      if (valid[Latency-1]) $fdisplay(out, "%0d", result);
      valid = {valid[Latency-2:0], 1'(9 == $fscanf(in, "%d %d %d %d %d %d %d %d %d", a, b, r, m, rm, rs, s, lo, up))};
      accumulator = AccumulatorBits'(a);
      bias = BiasBits'(b);
      residual = ResidualBits'(r);
      multiplier = 16'(m);
      residual_multiplier = 16'(rm);
      residual_shift = 4'(rs);
      shift = 6'(s);
      bounds = {bounds[Latency-2:0], 16'(lo), 16'(up)};
      {lower, upper} = bounds[Latency-1];
    end while (valid != '0);
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module unpack_bench
  import cascade_pkg::*;
#(
  parameter string Name = "",
  parameter int unsigned BusBits = 128,
  parameter int unsigned DenseBits = 128,
  parameter int unsigned IndexedBits = 176
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  localparam int unsigned ItemBits = maximum(IndexedBits, RecordBits);
  logic rst_n, section_valid, section_ready, beat_valid, beat_ready, item_valid, item_ready, item_is_record, item_last;
  logic [1:0] section_kind;
  logic [16:0] section_items;
  logic [BusBits-1:0] beat;
  logic [ItemBits-1:0] item;
  cascade_unpack #(
    .BusBits(BusBits),
    .DenseBits(DenseBits),
    .IndexedBits(IndexedBits)
  ) dut (.*);

  initial begin
    int sections, beats, out, kind, items, left;
    int unsigned random;
    finished = 1'b0;
    rst_n = 1'b0;
    section_valid = 1'b0;
    beat_valid = 1'b0;
    item_ready = 1'b0;
    wait (go);
    sections = $fopen({folder, "/", Name, ".sections"}, "r");
    beats = $fopen({folder, "/", Name, ".beats"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    random = 1;
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    while (2 == $fscanf(sections, "%d %d", kind, items)) begin
      section_kind = 2'(kind);
      section_items = 17'(items);
      section_valid = 1'b1;
      #0;
      while (!section_ready) @(negedge clk);
      @(negedge clk);
      section_valid = 1'b0;
      left = items;
      while (left != 0) begin
        random = random * 32'd1664525 + 32'd1013904223;
        if (!beat_valid && random[31]) begin
          void'($fscanf(beats, "%h", beat));
          beat_valid = 1'b1;
        end
        item_ready = random[30];
        #0;
        if (item_valid && item_ready) begin
          $fdisplay(out, "%0d %0d %h", item_is_record, item_last, item);
          left--;
        end
        if (beat_valid && beat_ready) begin
          @(negedge clk);
          beat_valid = 1'b0;
        end else @(negedge clk);
      end
      item_ready = 1'b0;
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module confidence_bench #(
  parameter string Name = "confidence",
  parameter int unsigned ResultDepth = 40
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  logic rst_n, start, read_enable, done, confident;
  logic [31:0] classes, best_class, numerator, total;
  logic [15:0] k;
  logic [3:0] m, n;
  logic signed [31:0] threshold;
  logic [5:0] read_address;
  logic signed [15:0] logit;
  logic signed [15:0] logits[ResultDepth];
  cascade_confidence #(.ResultDepth(ResultDepth)) dut (.*);
  always_ff @(posedge clk) if (read_enable) logit <= logits[read_address];

  initial begin
    int in, out, c, kk, mm, nn, t, value;
    finished = 1'b0;
    rst_n = 1'b0;
    start = 1'b0;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    while (5 == $fscanf(in, "%d %d %d %d %d", c, kk, mm, nn, t)) begin
      for (int i = 0; i < c; i++) begin
        void'($fscanf(in, "%d", value));
        logits[i] = 16'(value);
      end
      classes = c;
      k = 16'(kk);
      m = 4'(mm);
      n = 4'(nn);
      threshold = t;
      start = 1'b1;
      @(negedge clk);
      start = 1'b0;
      while (!done) @(negedge clk);
      $fdisplay(out, "%0d %0d %0d %0d", best_class, confident, $signed(numerator), total);
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module walker_bench
  import cascade_pkg::*;
#(
  parameter string Name = "walker"
) (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  logic rst_n, in_valid, in_ready, out_valid, out_ready, last, start, busy, stalled;
  logic row_step, row_rewind, row_final, row_release, final_row, read_near, read_allowed, drain_stalled, drain_fetched;
  logic step_valid, step_word, step_first, step_shift, step_last;
  logic [DefaultEngine.lanes_p-1:0] step_inside;
  window_t windows[DefaultEngine.lanes_p];
  assign windows = '{default: EveryRow};
  logic [1:0] step_index;
  logic [9:0] read_address, address;
  logic row_here;
  logic [BlockBits-1:0] in_beat;
  operation_t operation;
  error_e problem;
  function automatic engine_t engine();
    engine = DefaultEngine;
    engine.bus_bits = BlockBits;  // a beat is an instruction
    engine.lanes_k = 4;
    engine.slots = 2;
    engine.drain_k = 2;
    engine.sub_row = 4;
    engine.bank_depth = 1000;
    engine.tile = 0;
  endfunction
  cascade_decode #(
    .Engine(engine())
  ) i_decode (
    .in_last(1'b0),
    .taps_valid(),
    .taps_ready(1'b1),
    .taps(),
    .header('{classes: 32'd10, default: '0}),
    .*
  );
  cascade_walker #(
    .Engine(engine())
  ) i_walker (.*);
  always_ff @(posedge clk) begin
    if (read_near && read_allowed) address <= read_address;
    final_row <= row_step && row_final;
  end

  initial begin
    int in, out, waits;
    int unsigned random, steps, cycles;
    logic [511:0] words;
    finished = 1'b0;
    rst_n = 1'b0;
    {in_valid, out_ready, start, drain_stalled} = '0;
    {read_allowed, drain_fetched} = '1;
    row_here = 1'b1;
    wait (go);
    in = $fopen({folder, "/", Name, ".in"}, "r");
    out = $fopen({folder, "/", Name, ".out"}, "w");
    random = 1;
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    while (2 == $fscanf(in, "%d %h", waits, words)) begin
      in_beat = words;
      in_valid = 1'b1;
      @(negedge clk);
      in_valid = 1'b0;
      while (!out_valid) @(negedge clk);
      $fdisplay(out, "problem %0d", operation.problem);
      start = 1'b1;
      @(negedge clk);
      start = 1'b0;
      steps = 0;
      cycles = 0;
      while (busy || step_valid) begin
        if (waits != 0) begin
          random = random * 32'd1664525 + 32'd1013904223;
          read_allowed = random[31];
          row_here = random[30];
        end
        @(negedge clk);
        cycles++;
        if (step_valid) begin
          steps++;
          $fdisplay(out, "%0d %0d %0d %0d %0d %0d %0d %0d", step_word, step_inside[0],
                    step_inside[0] ? address : 10'd0, step_index, step_first, step_shift, step_last, final_row);
        end
      end
      $fdisplay(out, "end %0d %0d", steps, cycles);
      {read_allowed, row_here} = '1;
      out_ready = 1'b1;
      @(negedge clk);
      out_ready = 1'b0;
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module control_bench
  import cascade_pkg::*;
(
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  logic rst_n, s_axi_awvalid, s_axi_awready, s_axi_wvalid, s_axi_wready, s_axi_bvalid, s_axi_bready;
  logic s_axi_arvalid, s_axi_arready, s_axi_rvalid, s_axi_rready, interrupt, start, busy, done;
  logic [6:0] s_axi_awaddr, s_axi_araddr;
  logic [31:0] s_axi_wdata, s_axi_rdata, image_count;
  logic [3:0] s_axi_wstrb;
  logic [63:0] program_address, weights_address, images_address, results_address, maps_address;
  cascade_control #(.Signature(64'h0123_4567_89AB_CDEF)) dut (
    .error(ErrorCrc), .cycles(64'h1_0000_0002), .weight_stall_cycles(32'd7), .*);

  int out, starts;
  always_ff @(posedge clk) if (start) starts <= starts + 1;

  // Address and data are offered after so many cycles, the answer is taken `slack` cycles after it came.
  task automatic write(input logic [6:0] address, input logic [31:0] data, input logic [3:0] strobe,
                       input int address_delay, input int data_delay, input int slack);
    automatic logic address_sent = 1'b0, data_sent = 1'b0;
    for (int cycle = 0; !address_sent || !data_sent; cycle++) begin
      s_axi_awvalid = !address_sent && cycle >= address_delay;
      s_axi_wvalid = !data_sent && cycle >= data_delay;
      {s_axi_awaddr, s_axi_wdata, s_axi_wstrb} = {address, data, strobe};
      @(posedge clk);
      address_sent |= s_axi_awvalid && s_axi_awready;
      data_sent |= s_axi_wvalid && s_axi_wready;
      @(negedge clk);
    end
    {s_axi_awvalid, s_axi_wvalid} = '0;
    while (!s_axi_bvalid) @(negedge clk);
    repeat (slack) begin
      @(negedge clk);
      if (!s_axi_bvalid) $fdisplay(out, "an answer was not held");
    end
    s_axi_bready = 1'b1;
    @(negedge clk);
    s_axi_bready = 1'b0;
  endtask

  task automatic read(input logic [6:0] address, input int slack);
    logic [31:0] first;
    automatic logic sent = 1'b0;
    s_axi_araddr = address;
    s_axi_arvalid = 1'b1;
    while (!sent) begin
      @(posedge clk);
      sent = s_axi_arready;
      @(negedge clk);
    end
    s_axi_arvalid = 1'b0;
    while (!s_axi_rvalid) @(negedge clk);
    first = s_axi_rdata;
    repeat (slack) @(negedge clk);
    if (!s_axi_rvalid || s_axi_rdata != first) $fdisplay(out, "an answer was not held");
    $fdisplay(out, "%h", s_axi_rdata);
    s_axi_rready = 1'b1;
    @(negedge clk);
    s_axi_rready = 1'b0;
  endtask

  initial begin
    int in, event_kind, address_delay, data_delay, slack, kind;
    logic [31:0] address, data, strobe, other;
    logic [2:0] quiet;
    finished = 1'b0;
    {rst_n, s_axi_awvalid, s_axi_wvalid, s_axi_bready, s_axi_arvalid, s_axi_rready, busy, done} = '0;
    wait (go);
    in = $fopen({folder, "/control.in"}, "r");
    out = $fopen({folder, "/control.out"}, "w");
    repeat (2) @(negedge clk);
    rst_n = 1'b1;
    starts = 0;
    @(negedge clk);
    // No output follows an input in the same cycle.
    quiet = {s_axi_awready, s_axi_wready, s_axi_arready};
    {s_axi_awvalid, s_axi_wvalid, s_axi_arvalid} = '1;
    #0;
    if (quiet != {s_axi_awready, s_axi_wready, s_axi_arready}) $fdisplay(out, "a ready follows a valid");
    {s_axi_awvalid, s_axi_wvalid, s_axi_arvalid} = '0;
    @(negedge clk);
    while (9 == $fscanf(in, "%d %h %h %h %h %d %d %d %d", event_kind, address, data, strobe, other, address_delay,
                        data_delay, slack, kind)) begin
      busy = event_kind == 0 ? busy : event_kind == 1;
      done = event_kind == 2;
      if (event_kind == 2) @(negedge clk);
      done = 1'b0;
      fork
        if (kind[0]) write(7'(address), data, 4'(strobe), address_delay, data_delay, slack);
        if (kind[1]) read(7'(other), slack);
      join
      if (kind == 0) $fdisplay(out, "%0d starts, interrupt %b", starts, interrupt);
    end
    $fclose(in);
    $fclose(out);
    finished = 1'b1;
  end
endmodule

// A burst of four beats that the read master asks for, answered with what is wrong in `fault`: 1 an error response,
// 2 another identifier, 3 no last beat, 4 two of them. Writes how often it failed.
module read_bench (
  input  logic  clk,
  input  string folder,
  input  logic  go,
  output logic  finished
);
  localparam int unsigned BusBits = 64;
  logic rst_n, failed, request_valid, arvalid, rvalid, rlast;
  logic [0:0] rid;
  logic [1:0] rresp;
  cascade_axi_read #(.BusBits(BusBits)) dut (
    .clk, .rst_n, .stop(1'b0), .idle(), .failed, .request_valid, .request_ready(), .request_address(64'd64),
    .request_beats(32'd4), .data_valid(), .data_ready(1'b1), .data(), .m_axi_arvalid(arvalid), .m_axi_arready(1'b1),
    .m_axi_araddr(), .m_axi_arlen(), .m_axi_rvalid(rvalid), .m_axi_rready(), .m_axi_rdata('0),
    .m_axi_rid(rid), .m_axi_rresp(rresp), .m_axi_rlast(rlast));

  initial begin
    int out, failures;
    finished = 1'b0;
    wait (go);
    out = $fopen({folder, "/read.out"}, "w");
    for (int fault = 0; fault < 5; fault++) begin
      failures = 0;
      {rst_n, request_valid, rvalid, rlast, rid, rresp} = '0;
      repeat (2) @(negedge clk);
      rst_n = 1'b1;
      request_valid = 1'b1;
      while (!arvalid) @(negedge clk);
      request_valid = 1'b0;
      @(negedge clk);
      for (int beat = 0; beat < 4; beat++) begin
        rvalid = 1'b1;
        rresp = fault == 1 && beat == 1 ? 2'b10 : 2'b00;
        rid = 1'(fault == 2 && beat == 1);
        rlast = (beat == 3 && fault != 3) || (beat == 1 && fault == 4);
        @(negedge clk);
        failures += 32'(failed);
      end
      rvalid = 1'b0;
      repeat (3) begin
        @(negedge clk);
        failures += 32'(failed);
      end
      $fdisplay(out, "%0d", failures != 0);
    end
    $fclose(out);
    finished = 1'b1;
  end
endmodule

module modules_bench;
  import cascade_pkg::*;
  logic clk = 1'b0;
  always #1 clk = !clk;
  string folder;
  logic go = 1'b0;
  logic [10:0] finished;

  requantise_bench #(.Name("requantise_small"), .AccumulatorBits(8), .BiasBits(8), .ResidualBits(4)) i_small (
    .clk, .folder, .go, .finished(finished[0]));
  requantise_bench #(.Name("requantise_block"), .AccumulatorBits(24), .BiasBits(24)) i_block (
    .clk, .folder, .go, .finished(finished[9]));
  requantise_bench #(.Name("requantise_full")) i_full (.clk, .folder, .go, .finished(finished[1]));
  requantise_bench #(.Name("requantise_tile"), .AccumulatorBits(40), .BiasBits(40), .ResidualShiftMax(15)) i_tile (
    .clk, .folder, .go, .finished(finished[8]));
  unpack_bench #(.Name("unpack_narrow"), .BusBits(64), .DenseBits(15), .IndexedBits(30)) i_narrow (
    .clk, .folder, .go, .finished(finished[2]));
  unpack_bench #(.Name("unpack_wide"), .BusBits(128), .DenseBits(256), .IndexedBits(352)) i_wide (
    .clk, .folder, .go, .finished(finished[3]));
  unpack_bench #(.Name("unpack_bus"), .BusBits(512), .DenseBits(128), .IndexedBits(192)) i_bus (
    .clk, .folder, .go, .finished(finished[4]));
  confidence_bench i_confidence (.clk, .folder, .go, .finished(finished[5]));
  walker_bench i_walker (.clk, .folder, .go, .finished(finished[6]));
  read_bench i_answered (.clk, .folder, .go, .finished(finished[10]));
  control_bench i_control (.clk, .folder, .go, .finished(finished[7]));

  // A master to which a beat comes that it did not ask for: its assertion must end the simulation.
  logic stray = 1'b0;
  cascade_axi_read i_read (
    .clk, .rst_n(go), .stop(1'b0), .idle(), .failed(), .request_valid(1'b0), .request_ready(), .request_address('0),
    .request_beats('0), .data_valid(), .data_ready(1'b0), .data(), .m_axi_arvalid(), .m_axi_arready(1'b0),
    .m_axi_araddr(), .m_axi_arlen(), .m_axi_rvalid(stray), .m_axi_rready(), .m_axi_rdata('0), .m_axi_rid('0), .m_axi_rresp('0), .m_axi_rlast(1'b1));

  initial begin
    int in, out;
    logic [31:0] crc, word;
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    in = $fopen({folder, "/crc.in"}, "r");
    out = $fopen({folder, "/crc.out"}, "w");
    crc = '1;
    while (1 == $fscanf(in, "%h", word)) begin
      crc = crc32_word(crc, word);
      $fdisplay(out, "%h", ~crc);
    end
    $fclose(out);
    @(negedge clk);
    go = 1'b1;
    repeat (4) @(negedge clk);
    stray = 1'($test$plusargs("stray"));
    while (finished != '1) @(negedge clk);
    $display("modules_bench: done");
    $finish;
  end
endmodule
