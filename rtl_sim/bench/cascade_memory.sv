// Memory of the bench: one byte array behind two AXI4 slave ports; port 1 has no write channels.
//
// Reads: a burst's first beat comes `latency_cycles` (2 or more) after its address was taken, the rest without gaps;
// up to Outstanding bursts wait, in order. Writes: the response comes `latency_cycles` after the last beat.
// Random pauses on every channel; error responses and flipped bits on demand; addresses outside the memory answer
// DECERR; accesses outside the regions are counted, and such writes are not carried out.
module cascade_memory #(
    parameter int unsigned BusBits     = 128,
    parameter int unsigned MemoryBytes = 1 << 25,
    parameter int unsigned Outstanding = 16
) (
    input  logic                 clk,
    input  logic                 rst_n,
    // job
    input  logic                 job_begin,
    input  logic [         63:0] base,
    input  logic [         31:0] size_bytes,
    input  logic [         31:0] region_begin   [5],  // program, weights, images, results, maps: offsets from base
    input  logic [         31:0] region_end     [5],
    input  logic [         31:0] seed,
    input  logic [          9:0] stall_per_mille,
    input  logic [         31:0] latency_cycles,
    input  logic [         31:0] fail_beat      [2],  // beat of a port that answers SLVERR, from 1; 0: none
    input  logic [         31:0] flip_beat      [2],  // beat of a port in which one bit is flipped
    input  logic [         31:0] fail_response,       // write response that is SLVERR, from 1; 0: none
    // what happened since job_begin
    output logic [         31:0] beats_read     [2],
    output logic [         31:0] beats_written,
    output logic [         31:0] outside_reads  [2],
    output logic [         31:0] outside_writes,
    output logic [         63:0] outside_address,
    output logic                 bad_last,
    output logic                 busy,
    // AXI
    input  logic                 arvalid        [2],
    output logic                 arready        [2],
    input  logic [         63:0] araddr         [2],
    input  logic [          7:0] arlen          [2],
    output logic                 rvalid         [2],
    input  logic                 rready         [2],
    output logic [  BusBits-1:0] rdata          [2],
    output logic [          1:0] rresp          [2],
    output logic                 rlast          [2],
    input  logic                 awvalid,
    output logic                 awready,
    input  logic [         63:0] awaddr,
    input  logic [          7:0] awlen,
    input  logic                 wvalid,
    output logic                 wready,
    input  logic [  BusBits-1:0] wdata,
    input  logic [BusBits/8-1:0] wstrb,
    input  logic                 wlast,
    output logic                 bvalid,
    input  logic                 bready,
    output logic [          1:0] bresp
);
  localparam int unsigned BusBytes = BusBits / 8;
  localparam int unsigned PointerBits = $clog2(Outstanding);

  typedef struct packed {
    logic [63:0] address;
    logic [7:0]  length;
    logic [63:0] due;
  } burst_t;

  logic [ 7:0] bytes   [MemoryBytes]  /* verilator public_flat_rw */;
  logic [63:0] now;
  logic        busy_read[2];

  function automatic logic in_memory(input logic [63:0] address);
    return address >= base && address - base + 64'(BusBytes) <= 64'(size_bytes);
  endfunction

  function automatic logic in_region(input logic [63:0] address, input int unsigned region);
    return address >= base + 64'(region_begin[region]) && address + 64'(BusBytes) <= base + 64'(region_end[region]);
  endfunction

  function automatic logic [BusBits-1:0] load(input logic [63:0] address);
    for (int unsigned i = 0; i < BusBytes; i++) load[8*i+:8] = bytes[32'(address - base) + i];
  endfunction

  always_ff @(posedge clk) begin
    if (job_begin) now <= '0;
    else now <= now + 64'd1;
  end

  for (genvar port = 0; port < 2; port++) begin : read
    burst_t                 queue       [Outstanding];
    burst_t                 head;
    logic [  PointerBits:0] filled;
    logic [PointerBits-1:0] first;
    logic [            7:0] beat;
    logic [           63:0] address;
    logic                   pause_address;
    logic                   pause_data;
    logic                   allowed;

    cascade_pause #(.Channel(2 * port)) pauses_address (
        .clk, .load(job_begin), .seed, .per_mille(stall_per_mille), .pause(pause_address));
    cascade_pause #(.Channel(2 * port + 1)) pauses_data (
        .clk, .load(job_begin), .seed, .per_mille(stall_per_mille), .pause(pause_data));

    assign head = queue[first];
    assign address = head.address + 64'(beat) * 64'(BusBytes);
    assign allowed = port == 0 ? in_region(address, 0) || in_region(address, 2) || in_region(address, 4) :
        in_region(address, 1);
    assign arready[port] = rst_n && !pause_address && filled < (PointerBits + 1)'(Outstanding);
    assign busy_read[port] = filled != 0 || rvalid[port];

    always_ff @(posedge clk) begin
      automatic logic take = arvalid[port] && arready[port];
      automatic logic move = (!rvalid[port] || rready[port]) && filled != 0 && now >= head.due && !pause_data;
      automatic logic last = move && beat == head.length;
      if (!rst_n) begin
        filled       <= '0;
        first        <= '0;
        beat         <= '0;
        rvalid[port] <= 1'b0;
      end else begin
        filled <= filled + (PointerBits + 1)'(take) - (PointerBits + 1)'(last);
        if (take) begin
          queue[first+filled[PointerBits-1:0]] <= '{araddr[port], arlen[port], now + 64'(latency_cycles) - 64'd1};
        end
        if (rready[port]) rvalid[port] <= 1'b0;
        if (move) begin
          automatic logic [31:0] number = beats_read[port] + 32'd1;
          automatic logic [BusBits-1:0] word = load(address);
          rvalid[port] <= 1'b1;
          rlast[port]  <= last;
          beat         <= last ? '0 : beat + 8'd1;
          first        <= first + PointerBits'(last);
          if (!in_memory(address)) begin
            rresp[port] <= 2'b11;
            rdata[port] <= '1;
          end else if (number == fail_beat[port]) begin
            rresp[port] <= 2'b10;
            rdata[port] <= ~word;
          end else begin
            rresp[port] <= 2'b00;
            rdata[port] <= word ^ (number == flip_beat[port] ? BusBits'(1) << number[5:0] : '0);
          end
        end
      end
      if (job_begin) begin
        beats_read[port]    <= '0;
        outside_reads[port] <= '0;
      end else if (rst_n && move) begin
        beats_read[port] <= beats_read[port] + 32'd1;
        if (!allowed) outside_reads[port] <= outside_reads[port] + 32'd1;
      end
    end
  end

  burst_t                 write_queue    [Outstanding];
  logic   [         63:0] response_queue [Outstanding];
  logic   [PointerBits:0] write_filled;
  logic   [PointerBits:0] response_filled;
  logic   [PointerBits-1:0] write_first;
  logic   [PointerBits-1:0] response_first;
  logic   [          7:0] write_beat;
  logic   [         31:0] responses;
  logic   [         63:0] write_address;
  logic                   write_bad;
  logic                   write_allowed;
  logic                   pause_write_address;
  logic                   pause_write_data;
  logic                   pause_response;
  logic   [          1:0] answer;

  cascade_pause #(.Channel(4)) pauses_write_address (
      .clk, .load(job_begin), .seed, .per_mille(stall_per_mille), .pause(pause_write_address));
  cascade_pause #(.Channel(5)) pauses_write_data (
      .clk, .load(job_begin), .seed, .per_mille(stall_per_mille), .pause(pause_write_data));
  cascade_pause #(.Channel(6)) pauses_response (
      .clk, .load(job_begin), .seed, .per_mille(stall_per_mille), .pause(pause_response));

  assign write_address = write_queue[write_first].address + 64'(write_beat) * 64'(BusBytes);
  assign write_allowed = in_region(write_address, 3) || in_region(write_address, 4);
  assign awready = rst_n && !pause_write_address && write_filled < (PointerBits + 1)'(Outstanding);
  assign wready = rst_n && !pause_write_data && write_filled != 0 && response_filled < (PointerBits + 1)'(Outstanding);
  assign busy = busy_read[0] || busy_read[1] || write_filled != 0 || response_filled != 0 || bvalid;
  assign answer = write_bad ? 2'b11 : responses + 32'd1 == fail_response ? 2'b10 : 2'b00;

  always_ff @(posedge clk) begin
    automatic logic take = awvalid && awready;
    automatic logic data = wvalid && wready;
    automatic logic last = data && write_beat == write_queue[write_first].length;
    automatic logic reply = (!bvalid || bready) && response_filled != 0 && now >= response_queue[response_first] &&
        !pause_response;
    bad_last <= rst_n && data && wlast != last;
    if (!rst_n) begin
      write_filled    <= '0;
      write_first     <= '0;
      write_beat      <= '0;
      response_filled <= '0;
      response_first  <= '0;
      write_bad       <= 1'b0;
      bvalid          <= 1'b0;
    end else begin
      write_filled    <= write_filled + (PointerBits + 1)'(take) - (PointerBits + 1)'(last);
      response_filled <= response_filled + (PointerBits + 1)'(last) - (PointerBits + 1)'(reply);
      if (take) write_queue[write_first+write_filled[PointerBits-1:0]] <= '{awaddr, awlen, '0};
      if (data) begin
        write_beat  <= last ? '0 : write_beat + 8'd1;
        write_first <= write_first + PointerBits'(last);
        if (!in_memory(write_address)) write_bad <= 1'b1;
      end
      if (last) response_queue[response_first+response_filled[PointerBits-1:0]] <= now + 64'(latency_cycles) - 64'd1;
      if (bready) bvalid <= 1'b0;
      if (reply) begin
        bvalid         <= 1'b1;
        response_first <= response_first + 1'b1;
        bresp          <= answer;
      end
    end
    if (job_begin) begin
      beats_written   <= '0;
      responses       <= '0;
      write_bad       <= 1'b0;
      outside_writes  <= '0;
      outside_address <= '0;
    end else if (rst_n) begin
      if (reply) responses <= responses + 32'd1;
      if (data) beats_written <= beats_written + 32'd1;
      if (data && wstrb != '0 && !write_allowed) begin
        outside_writes  <= outside_writes + 32'd1;
        outside_address <= write_address;
      end
    end
  end

  // Blocking, so that a burst's beats need no copy of the array; nothing reads what is being written.
  always @(posedge clk) begin
    if (rst_n && wvalid && wready && write_allowed) begin
      for (int unsigned i = 0; i < BusBytes; i++) begin
        if (wstrb[i]) bytes[32'(write_address - base) + i] = wdata[8*i+:8];
      end
    end
  end

  // The file's bytes from offset 0 on; `loaded` is their number.
  task automatic load_file(input string name, output int loaded);
    automatic int file = $fopen(name, "rb");
    loaded = 0;
    if (file != 0) begin
      loaded = $fread(bytes, file, 0, MemoryBytes);
      $fclose(file);
    end
  endtask

  task automatic save_file(input string name, input int unsigned first, input int unsigned count);
    automatic int file = $fopen(name, "wb");
    for (int unsigned i = 0; i < count; i++) $fwrite(file, "%c", bytes[first+i]);
    $fclose(file);
  endtask
endmodule
