// Bench of one unit: clock, reset, host, memory and protocol checks around the design `CASCADE_DUT`, or the HLS model's shim.
//
// Python (jobs.py) writes the job's numbers, raises `request` and waits for `served`; it never touches the clock.
// Memory comes from FOLDER/job_<request>.bin and the results, with a page of guard bytes on either side, go to
// FOLDER/job_<request>.out; the cycle of every retired instruction to FOLDER/job_<request>.retired.
module cascade_bench #(
    parameter int unsigned BusBits     = 128,
    parameter int unsigned MemoryBytes = 1 << 25
);
  localparam int unsigned ResetCycles = 16;
  localparam int unsigned AnswerCycles = 10000;  // a register access without an answer for so long is a fault
  localparam int unsigned GuardBytes = 4096;

  typedef enum logic [2:0] {
    Done,
    Quiet,  // nothing moved for watchdog_cycles
    Limit,  // not done within limit_cycles
    Unanswered,  // s_axi_control did not answer
    Deadlock,  // every process of the HLS model waits for a stream
    NoFile  // the memory's file could not be read
  } ending_e;

  // ---- what Python writes
  logic [31:0] request  /* verilator public_flat_rw */ = '0;
  logic [63:0] base  /* verilator public_flat_rw */ = '0;
  logic [31:0] size_bytes  /* verilator public_flat_rw */ = '0;
  logic [31:0] program_begin  /* verilator public_flat_rw */ = '0;
  logic [31:0] program_end  /* verilator public_flat_rw */ = '0;
  logic [31:0] weights_begin  /* verilator public_flat_rw */ = '0;
  logic [31:0] weights_end  /* verilator public_flat_rw */ = '0;
  logic [31:0] images_begin  /* verilator public_flat_rw */ = '0;
  logic [31:0] images_end  /* verilator public_flat_rw */ = '0;
  logic [31:0] results_begin  /* verilator public_flat_rw */ = '0;
  logic [31:0] results_end  /* verilator public_flat_rw */ = '0;
  logic [31:0] maps_begin  /* verilator public_flat_rw */ = '0;
  logic [31:0] maps_end  /* verilator public_flat_rw */ = '0;
  logic [31:0] image_count  /* verilator public_flat_rw */ = '0;
  logic [31:0] seed  /* verilator public_flat_rw */ = '0;
  logic [ 9:0] stall_per_mille  /* verilator public_flat_rw */ = '0;
  logic [31:0] latency_cycles  /* verilator public_flat_rw */ = 32'd64;
  logic [31:0] fail_beat_0  /* verilator public_flat_rw */ = '0;
  logic [31:0] fail_beat_1  /* verilator public_flat_rw */ = '0;
  logic [31:0] flip_beat_0  /* verilator public_flat_rw */ = '0;
  logic [31:0] flip_beat_1  /* verilator public_flat_rw */ = '0;
  logic [31:0] fail_response  /* verilator public_flat_rw */ = '0;
  logic [31:0] reset_cycle  /* verilator public_flat_rw */ = '0;  // reset so long after the start; 0: no reset
  logic [31:0] watchdog_cycles  /* verilator public_flat_rw */ = 32'd1000000;
  logic [63:0] limit_cycles  /* verilator public_flat_rw */ = '1;
  logic        by_interrupt  /* verilator public_flat_rw */ = 1'b0;

  // ---- what Python reads
  logic [31:0] served  /* verilator public_flat_rd */ = '0;
  logic [ 2:0] ending  /* verilator public_flat_rd */ = '0;
  logic [31:0] error_code  /* verilator public_flat_rd */ = '0;
  logic [31:0] error_valid  /* verilator public_flat_rd */ = '0;
  logic [63:0] cycles_reported  /* verilator public_flat_rd */ = '0;
  logic [63:0] cycles_seen  /* verilator public_flat_rd */ = '0;
  logic [31:0] weight_stalls  /* verilator public_flat_rd */ = '0;
  logic [63:0] signature  /* verilator public_flat_rd */ = '0;
  logic [15:0] violations  /* verilator public_flat_rd */ = '0;
  logic        reset_in_flight  /* verilator public_flat_rd */ = '0;
  logic [31:0] read_beats_0  /* verilator public_flat_rd */;
  logic [31:0] read_beats_1  /* verilator public_flat_rd */;
  logic [31:0] written_beats  /* verilator public_flat_rd */;
  logic [31:0] outside_reads_0  /* verilator public_flat_rd */;
  logic [31:0] outside_reads_1  /* verilator public_flat_rd */;
  logic [31:0] outside_writes  /* verilator public_flat_rd */;
  logic [63:0] outside_address  /* verilator public_flat_rd */;
  logic [31:0] retired  /* verilator public_flat_rd */;
  logic [23:0] channels  /* verilator public_flat_rd */;  // valid and ready of every channel; named in jobs.py

  // ---- clock and design
  logic clk = 1'b0;
  logic rst_n = 1'b0;
  logic interrupt;
  always #1 clk = !clk;

  logic s_awvalid, s_awready, s_wvalid, s_wready, s_bvalid, s_bready, s_arvalid, s_arready, s_rvalid, s_rready;
  logic [ 6:0] s_awaddr, s_araddr;
  logic [31:0] s_wdata, s_rdata;
  logic [ 3:0] s_wstrb;
  logic [ 1:0] s_bresp, s_rresp;

  logic                 arvalid[2], arready[2], rvalid[2], rready[2], rlast[2];
  logic [         63:0] araddr[2];
  logic [          7:0] arlen[2];
  logic [          2:0] arsize[2];
  logic [          1:0] arburst[2], rresp[2];
  logic [  BusBits-1:0] rdata[2];
  logic awvalid, awready, wvalid, wready, wlast, bvalid, bready;
  logic [         63:0] awaddr;
  logic [          7:0] awlen;
  logic [          2:0] awsize;
  logic [          1:0] awburst, bresp;
  logic [  BusBits-1:0] wdata;
  logic [BusBits/8-1:0] wstrb;

  logic deadlock;
`ifdef CASCADE_HLS
  cascade_hls_shim #(.BusBits(BusBits)) dut (
      .deadlock(deadlock),
`else
  assign deadlock = 1'b0;
  `CASCADE_DUT dut (
`endif
      .ap_clk(clk),
      .ap_rst_n(rst_n),
      .interrupt(interrupt),
      .s_axi_control_awvalid(s_awvalid),
      .s_axi_control_awready(s_awready),
      .s_axi_control_awaddr(s_awaddr),
      .s_axi_control_wvalid(s_wvalid),
      .s_axi_control_wready(s_wready),
      .s_axi_control_wdata(s_wdata),
      .s_axi_control_wstrb(s_wstrb),
      .s_axi_control_bvalid(s_bvalid),
      .s_axi_control_bready(s_bready),
      .s_axi_control_bresp(s_bresp),
      .s_axi_control_arvalid(s_arvalid),
      .s_axi_control_arready(s_arready),
      .s_axi_control_araddr(s_araddr),
      .s_axi_control_rvalid(s_rvalid),
      .s_axi_control_rready(s_rready),
      .s_axi_control_rdata(s_rdata),
      .s_axi_control_rresp(s_rresp),
      .m_axi_gmem0_arid(),
      .m_axi_gmem0_araddr(araddr[0]),
      .m_axi_gmem0_arlen(arlen[0]),
      .m_axi_gmem0_arsize(arsize[0]),
      .m_axi_gmem0_arburst(arburst[0]),
      .m_axi_gmem0_arlock(),
      .m_axi_gmem0_arcache(),
      .m_axi_gmem0_arprot(),
      .m_axi_gmem0_arqos(),
      .m_axi_gmem0_arvalid(arvalid[0]),
      .m_axi_gmem0_arready(arready[0]),
      .m_axi_gmem0_rid(1'b0),
      .m_axi_gmem0_rdata(rdata[0]),
      .m_axi_gmem0_rresp(rresp[0]),
      .m_axi_gmem0_rlast(rlast[0]),
      .m_axi_gmem0_rvalid(rvalid[0]),
      .m_axi_gmem0_rready(rready[0]),
      .m_axi_gmem0_awid(),
      .m_axi_gmem0_awaddr(awaddr),
      .m_axi_gmem0_awlen(awlen),
      .m_axi_gmem0_awsize(awsize),
      .m_axi_gmem0_awburst(awburst),
      .m_axi_gmem0_awlock(),
      .m_axi_gmem0_awcache(),
      .m_axi_gmem0_awprot(),
      .m_axi_gmem0_awqos(),
      .m_axi_gmem0_awvalid(awvalid),
      .m_axi_gmem0_awready(awready),
      .m_axi_gmem0_wdata(wdata),
      .m_axi_gmem0_wstrb(wstrb),
      .m_axi_gmem0_wlast(wlast),
      .m_axi_gmem0_wvalid(wvalid),
      .m_axi_gmem0_wready(wready),
      .m_axi_gmem0_bid(1'b0),
      .m_axi_gmem0_bresp(bresp),
      .m_axi_gmem0_bvalid(bvalid),
      .m_axi_gmem0_bready(bready),
      .m_axi_gmem1_arid(),
      .m_axi_gmem1_araddr(araddr[1]),
      .m_axi_gmem1_arlen(arlen[1]),
      .m_axi_gmem1_arsize(arsize[1]),
      .m_axi_gmem1_arburst(arburst[1]),
      .m_axi_gmem1_arlock(),
      .m_axi_gmem1_arcache(),
      .m_axi_gmem1_arprot(),
      .m_axi_gmem1_arqos(),
      .m_axi_gmem1_arvalid(arvalid[1]),
      .m_axi_gmem1_arready(arready[1]),
      .m_axi_gmem1_rid(1'b0),
      .m_axi_gmem1_rdata(rdata[1]),
      .m_axi_gmem1_rresp(rresp[1]),
      .m_axi_gmem1_rlast(rlast[1]),
      .m_axi_gmem1_rvalid(rvalid[1]),
      .m_axi_gmem1_rready(rready[1])
  );

`ifdef CASCADE_RETIRED
  assign retired = 32'(`CASCADE_RETIRED);
`else
  assign retired = '0;
`endif

  // ---- host and memory
  logic job_begin = 1'b0;
  logic running = 1'b0;  // from the start to the done that the host saw
  logic memory_busy, bad_last;
  logic [31:0] region_begin[5], region_end[5], fail_beat[2], flip_beat[2], beats_read[2], outside_reads[2];
  assign region_begin = '{program_begin, weights_begin, images_begin, results_begin, maps_begin};
  assign region_end = '{program_end, weights_end, images_end, results_end, maps_end};
  assign fail_beat = '{fail_beat_0, fail_beat_1};
  assign flip_beat = '{flip_beat_0, flip_beat_1};
  assign read_beats_0 = beats_read[0];
  assign read_beats_1 = beats_read[1];
  assign outside_reads_0 = outside_reads[0];
  assign outside_reads_1 = outside_reads[1];

  cascade_host host (
      .clk, .rst_n, .slack(stall_per_mille == 0 ? 4'd0 : 4'd7),
      .awvalid(s_awvalid), .awready(s_awready), .awaddr(s_awaddr),
      .wvalid(s_wvalid), .wready(s_wready), .wdata(s_wdata), .wstrb(s_wstrb),
      .bvalid(s_bvalid), .bready(s_bready),
      .arvalid(s_arvalid), .arready(s_arready), .araddr(s_araddr),
      .rvalid(s_rvalid), .rready(s_rready), .rdata(s_rdata));

  cascade_memory #(.BusBits(BusBits), .MemoryBytes(MemoryBytes)) memory (
      .clk, .rst_n, .job_begin, .base, .size_bytes, .region_begin, .region_end, .seed, .stall_per_mille,
      .latency_cycles, .fail_beat, .flip_beat, .fail_response,
      .beats_read, .beats_written(written_beats), .outside_reads, .outside_writes, .outside_address, .bad_last,
      .busy(memory_busy),
      .arvalid, .arready, .araddr, .arlen, .rvalid, .rready, .rdata, .rresp, .rlast,
      .awvalid, .awready, .awaddr, .awlen, .wvalid, .wready, .wdata, .wstrb, .wlast, .bvalid, .bready, .bresp);

  // ---- checks and measures
  logic        start = 1'b0;
  logic [63:0] cycles;
  logic [31:0] quiet_cycles;
  int          retired_file = 0;
  logic [31:0] retired_before;

  cascade_checks #(.BusBits(BusBits)) checks (
      .clk, .rst_n, .job_begin, .running, .start, .memory_busy, .bad_last, .wrote_outside(outside_writes != 0),
      .retired, .violations, .cycles, .cycles_seen, .quiet_cycles,
      .s_wvalid, .s_wready, .s_bvalid, .s_bready, .s_bresp, .s_rvalid, .s_rready, .s_rdata, .s_rresp,
      .arvalid, .arready, .araddr, .arlen, .arsize, .arburst, .rvalid, .rready,
      .awvalid, .awready, .awaddr, .awlen, .awsize, .awburst, .wvalid, .wready, .wdata, .wstrb, .wlast,
      .bvalid, .bready);

  assign channels = {
    s_awvalid, s_awready, s_wvalid, s_wready, s_bvalid, s_bready, s_arvalid, s_arready, s_rvalid, s_rready,
    arvalid[0], arready[0], rvalid[0], rready[0], awvalid, awready, wvalid, wready, bvalid, bready,
    arvalid[1], arready[1], rvalid[1], rready[1]
  };

  always_ff @(posedge clk) begin
    retired_before <= retired;
    if (retired_file != 0 && retired == retired_before + 32'd1) $fwrite(retired_file, "%0d\n", cycles);
  end

  // ---- the job; as in the host, everything is driven at the falling edge
  function automatic string file_name(input string folder, input logic [31:0] job, input string ending_text);
    return $sformatf("%s/job_%0d.%s", folder, job, ending_text);
  endfunction

  task automatic pulse_reset();
    rst_n = 1'b0;
    repeat (ResetCycles) @(negedge clk);
    rst_n = 1'b1;
    @(negedge clk);
  endtask

  // One loop over a table instead of a call for each register: a task is inlined wherever it is called.
  task automatic start_design();
    localparam int unsigned Writes = 15;
    logic [6:0] register_address[Writes];
    logic [31:0] value[Writes];
    automatic logic [63:0] address[5] = '{
      base + 64'(program_begin), base + 64'(weights_begin), base + 64'(images_begin), base + 64'(results_begin),
      base + 64'(maps_begin)
    };
    logic answered;
    register_address = '{7'h0c, 7'h10, 7'h14, 7'h1c, 7'h20, 7'h28, 7'h2c, 7'h34, 7'h38, 7'h40, 7'h44, 7'h4c,
                         7'h04, 7'h08, 7'h00};
    value = '{32'(interrupt), address[0][31:0], address[0][63:32], address[1][31:0], address[1][63:32],
              address[2][31:0], address[2][63:32], address[3][31:0], address[3][63:32], address[4][31:0],
              address[4][63:32], image_count, 32'd1, 32'd1, 32'd1};  // the interrupt is enabled: it also tells whether a reset came in time
    for (int unsigned i = 0; i < Writes && ending_e'(ending) == Done; i++) begin
      start   = i == Writes - 1;
      running = start;
      host.write(register_address[i], value[i], AnswerCycles, answered);
      if (!answered) ending = Unanswered;
    end
    start = 1'b0;
  endtask

  // Until done, by the interrupt or by polling, or until a watchdog ends the job.
  task automatic await_done();
    logic [31:0] value;
    logic answered;
    automatic logic done = 1'b0;
    while (!done && ending_e'(ending) == Done) begin
      repeat (by_interrupt ? 1 : 8) @(negedge clk);
      if (by_interrupt) done = interrupt;
      else begin
        host.read(7'h00, AnswerCycles, value, answered);
        done = value[1];
        if (!answered) ending = Unanswered;
      end
      if (done) break;
      if (deadlock) ending = Deadlock;
      else if (quiet_cycles >= watchdog_cycles) ending = Quiet;
      else if (cycles >= limit_cycles) ending = Limit;
    end
`ifdef CASCADE_HLS
    if (ending_e'(ending) != Done) dut.report();
`endif
    running = 1'b0;
  endtask

  task automatic read_counters();
    localparam int unsigned Reads = 8;
    logic [6:0] register_address[Reads];
    logic [31:0] value[Reads];
    logic answered;
    register_address = '{7'h54, 7'h58, 7'h60, 7'h64, 7'h68, 7'h70, 7'h74, 7'h00};  // the last one clears done
    for (int unsigned i = 0; i < Reads && ending_e'(ending) == Done; i++) begin
      host.read(register_address[i], AnswerCycles, value[i], answered);
      if (!answered) ending = Unanswered;
    end
    error_code = value[0];
    error_valid = value[1];
    cycles_reported = {value[3], value[2]};
    weight_stalls = value[4];
    signature = {value[6], value[5]};
  endtask

  initial begin
    string folder;
    int    loaded;
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    pulse_reset();
    forever begin
      do @(negedge clk); while (request == served);
      if (ending_e'(ending) != Done) pulse_reset();
      ending = Done;
      reset_in_flight = 1'b0;
      host.seed(seed);
      memory.load_file(file_name(folder, request, "bin"), loaded);
      if (32'(loaded) != size_bytes) ending = NoFile;
      job_begin = 1'b1;
      @(negedge clk);
      job_begin = 1'b0;
      @(negedge clk);
      for (int unsigned attempt = 0; attempt < (reset_cycle != 0 ? 2 : 1); attempt++) begin
        if (attempt == 1) begin
          while (cycles < 64'(reset_cycle) && !interrupt) @(negedge clk);
          reset_in_flight = !interrupt;
          running = 1'b0;
          pulse_reset();
        end
        start_design();
      end
      retired_file = $fopen(file_name(folder, request, "retired"), "w");
      await_done();
      $fclose(retired_file);
      retired_file = 0;
      read_counters();
      @(negedge clk);
      memory.save_file(file_name(folder, request, "out"), results_begin - GuardBytes,
                       results_end - results_begin + 2 * GuardBytes);
      served = request;
      @(negedge clk);
    end
  end
endmodule
