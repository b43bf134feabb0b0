// AXI4 write master: turns (address, beats) and a stream of beats into bursts.
// A burst begins only when all its beats are in the FIFO, so a burst under way always ends.
// Cost: FifoBeats words of memory. `stop` ends new bursts; `idle` says that every response has come.
// Latency from a request, or the end of a burst, to the next burst: 3 cycles.
module cascade_axi_write
  import cascade_pkg::*;
#(
  parameter int unsigned BusBits = 128,
  parameter int unsigned FifoBeats = 32,
  parameter int unsigned BurstBeats = 16
) (
  input  logic                      clk,
  input  logic                      rst_n,
  input  logic                      stop,
  output logic                      idle,  // nothing under way
  output logic                      finished,  // nothing left to do
  output logic                      failed,
  output logic                      answered,
  input  logic                      request_valid,
  output logic                      request_ready,
  input  logic [AxiAddressBits-1:0] request_address,
  input  logic [31:0]               request_beats,
  input  logic                      data_valid,
  output logic                      data_ready,
  input  logic [BusBits-1:0]        data,
  output logic                      m_axi_awvalid,
  input  logic                      m_axi_awready,
  output logic [AxiAddressBits-1:0] m_axi_awaddr,
  output logic [7:0]                m_axi_awlen,
  output logic                      m_axi_wvalid,
  input  logic                      m_axi_wready,
  output logic [BusBits-1:0]        m_axi_wdata,
  output logic                      m_axi_wlast,
  input  logic                      m_axi_bvalid,
  output logic                      m_axi_bready,
  input  logic [1:0]                m_axi_bresp
);
  localparam int unsigned ByteBits = $clog2(BusBits / 8);
  localparam int unsigned PageBits = 12 - ByteBits;
  localparam int unsigned CountBits = $clog2(FifoBeats + 1);
  localparam int unsigned LengthBits = $clog2(BurstBeats + 1);
  localparam int unsigned OpenBits = 4;  // responses awaited at once: up to 15
  if (BurstBeats > FifoBeats || BurstBeats > 256) begin : g_check_1
    $fatal(1, "cascade_axi_write: BurstBeats must be at most FifoBeats %0d and 256, not %0d", FifoBeats, BurstBeats);
  end

  typedef enum logic [1:0] {Idle, Split, Wait, Burst} state_e;
  state_e state;
  logic [AxiAddressBits-1:0] address;
  logic [31:0] beats;
  logic [LengthBits-1:0] length, length_next, left;
  logic [PageBits:0] page_left;
  logic [CountBits-1:0] held;
  logic [OpenBits-1:0] open;
  logic address_sent, sent, begins, ends, pushed, last_burst;

  assign page_left = (PageBits + 1)'(1 << PageBits) - {1'b0, address[11:ByteBits]};
  always_comb begin
    length_next = LengthBits'(BurstBeats);
    if (beats < 32'(BurstBeats)) length_next = LengthBits'(beats);
    if (32'(page_left) < 32'(length_next)) length_next = LengthBits'(page_left);
  end

  assign request_ready = state == Idle;  // what is taken after `stop` waits before its first burst
  assign begins = state == Wait && !stop && 32'(held) >= 32'(length) && open != '1;
  assign sent = m_axi_wvalid && m_axi_wready;
  assign pushed = data_valid && data_ready;
  // Address and data are offered at once: a slave may wait for either before it takes the other.
  assign m_axi_awvalid = state == Burst && !address_sent;
  assign m_axi_awaddr = address;
  assign m_axi_awlen = 8'(length) - 8'd1;
  assign m_axi_wlast = left == LengthBits'(1);
  assign m_axi_bready = 1'b1;
  assign answered = m_axi_bvalid;
  assign ends = state == Burst && (address_sent || m_axi_awready) &&
      (left == '0 || (left == LengthBits'(1) && m_axi_wready));
  assign idle = state != Burst && open == '0;
  assign finished = state == Idle && open == '0;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= Idle;
      held <= '0;
      open <= '0;
      failed <= 1'b0;
    end else begin
      failed <= m_axi_bvalid && m_axi_bresp[1];
      held <= held + CountBits'(pushed) - CountBits'(sent);
      open <= open + OpenBits'(begins) - OpenBits'(m_axi_bvalid);
      if (sent) left <= left - 1'b1;
      if (m_axi_awvalid && m_axi_awready) address_sent <= 1'b1;
      case (state)
        Idle: begin  // the last request that was seen is the one that was taken
          address <= {request_address[AxiAddressBits-1:ByteBits], ByteBits'(0)};
          beats <= request_beats;
          if (request_valid && request_ready) state <= Split;
        end
        Split: begin
          length <= length_next;
          left <= length_next;
          address_sent <= 1'b0;
          state <= beats == '0 ? Idle : Wait;
        end
        Wait: begin
          last_burst <= beats == 32'(length);
          if (begins) state <= Burst;
        end
        Burst:
        if (ends) begin
          address <= address + (AxiAddressBits'(length) << ByteBits);
          beats <= beats - 32'(length);
          state <= last_burst ? Idle : Split;
        end
        default: state <= Idle;
      endcase
    end
  end

  logic out_valid;
  assign m_axi_wvalid = state == Burst && left != '0;
  cascade_fifo #(
    .Width(BusBits),
    .Depth(FifoBeats)
  ) i_fifo (
    .clk,
    .rst_n,
    .in_valid(data_valid),
    .in_ready(data_ready),
    .in_data(data),
    .out_valid,
    .out_ready(sent),
    .out_data(m_axi_wdata)
  );

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) begin
      assert (!m_axi_wvalid || out_valid) else $error("%m: a burst ran out of data");
      assert (!m_axi_bvalid || open != '0) else $error("%m: a response came for no burst");
    end
  end
`endif
endmodule
