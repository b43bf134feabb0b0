// AXI4 read master: turns (address, beats) into bursts and returns the beats in order.
// A burst is asked for only when its beats fit the FIFO, so data under way never waits on the bus and
// two masters on one in-order memory cannot block each other. Cost: FifoBeats words of block RAM.
// `stop` ends new requests; `idle` then says that every beat asked for has arrived. `failed` tells an error response,
// another identifier than 0, and a number of RLAST that is not that of the bursts when nothing is under way.
// Latency from a request to its first address: 3 cycles, and as many between two bursts.
module cascade_axi_read
  import cascade_pkg::*;
#(
  parameter int unsigned BusBits = 128,
  parameter int unsigned FifoBeats = 128,
  parameter int unsigned BurstBeats = 32
) (
  input  logic                      clk,
  input  logic                      rst_n,
  input  logic                      stop,
  output logic                      idle,
  output logic                      failed,
  input  logic                      request_valid,
  output logic                      request_ready,
  input  logic [AxiAddressBits-1:0] request_address,
  input  logic [31:0]               request_beats,
  output logic                      data_valid,
  input  logic                      data_ready,
  output logic [BusBits-1:0]        data,
  output logic                      m_axi_arvalid,
  input  logic                      m_axi_arready,
  output logic [AxiAddressBits-1:0] m_axi_araddr,
  output logic [7:0]                m_axi_arlen,
  input  logic                      m_axi_rvalid,
  output logic                      m_axi_rready,
  input  logic [BusBits-1:0]        m_axi_rdata,
  input  logic [0:0]                m_axi_rid,
  input  logic [1:0]                m_axi_rresp,
  input  logic                      m_axi_rlast
);
  localparam int unsigned BeatBytes = BusBits / 8;
  localparam int unsigned ByteBits = $clog2(BeatBytes);
  localparam int unsigned PageBits = 12 - ByteBits;  // beats in 4,096 bytes, as an exponent
  localparam int unsigned CountBits = $clog2(FifoBeats + 1);
  localparam int unsigned LengthBits = $clog2(BurstBeats + 1);
  if (BurstBeats > FifoBeats || BurstBeats > 256) begin : g_check_1
    $fatal(1, "cascade_axi_read: BurstBeats must be at most FifoBeats %0d and 256, not %0d", FifoBeats, BurstBeats);
  end

  typedef enum logic [1:0] {Idle, Split, Wait, Ask} state_e;
  state_e state;
  logic [AxiAddressBits-1:0] address;
  logic [31:0] beats;
  logic [LengthBits-1:0] length, length_next;
  logic [PageBits:0] page_left;
  logic [CountBits-1:0] reserved;  // asked for and not yet taken by the user
  logic [CountBits-1:0] under_way;  // asked for and not yet arrived
  logic [CountBits-1:0] bursts;  // whose last beat has not arrived
  logic asked, arrived, taken, released, fits, last_burst, ended, miscounted;

  assign page_left = (PageBits + 1)'(1 << PageBits) - {1'b0, address[11:ByteBits]};
  always_comb begin
    length_next = LengthBits'(BurstBeats);
    if (beats < 32'(BurstBeats)) length_next = LengthBits'(beats);
    if (32'(page_left) < 32'(length_next)) length_next = LengthBits'(page_left);
  end
  assign fits = 32'(reserved) + 32'(length) <= FifoBeats;

  assign request_ready = state == Idle;  // what is taken after `stop` waits before its first burst
  assign asked = m_axi_arvalid && m_axi_arready;
  assign arrived = m_axi_rvalid && m_axi_rready;
  assign taken = data_valid && data_ready;
  assign ended = arrived && m_axi_rlast;
  assign miscounted = under_way == '0 && bursts != '0;
  assign idle = state != Ask && under_way == '0;
  assign m_axi_arvalid = state == Ask;
  assign m_axi_araddr = address;
  assign m_axi_arlen = 8'(length) - 8'd1;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= Idle;
      bursts <= '0;
      released <= 1'b0;
      reserved <= '0;
      under_way <= '0;
      failed <= 1'b0;
    end else begin
      failed <= (arrived && (m_axi_rresp[1] || m_axi_rid != '0)) || miscounted;
      bursts <= bursts + CountBits'(asked) - CountBits'(ended);
      under_way <= under_way + (asked ? CountBits'(length) : '0) - CountBits'(arrived);
      released <= taken;
      reserved <= reserved + (asked ? CountBits'(length) : '0) - CountBits'(released);
      case (state)
        Idle: begin  // the last request that was seen is the one that was taken
          address <= {request_address[AxiAddressBits-1:ByteBits], ByteBits'(0)};
          beats <= request_beats;
          if (request_valid && request_ready) state <= Split;
        end
        Split: begin
          length <= length_next;
          state <= beats == '0 ? Idle : Wait;
        end
        Wait: begin
          last_burst <= beats == 32'(length);
          if (!stop && fits) state <= Ask;
        end
        Ask:
        if (m_axi_arready) begin
          address <= address + (AxiAddressBits'(length) << ByteBits);
          beats <= beats - 32'(length);
          state <= last_burst ? Idle : Split;
        end
        default: state <= Idle;
      endcase
    end
  end

  cascade_fifo #(
    .Width(BusBits),
    .Depth(FifoBeats),
    .Block(1'b1)
  ) i_fifo (
    .clk,
    .rst_n,
    .in_valid(m_axi_rvalid),
    .in_ready(m_axi_rready),
    .in_data(m_axi_rdata),
    .out_valid(data_valid),
    .out_ready(data_ready),
    .out_data(data)
  );

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) begin
      assert (!m_axi_rvalid || m_axi_rready) else $error("%m: a beat arrived for which no room was reserved");
      assert (!m_axi_rvalid || under_way != '0) else $error("%m: a beat arrived that was not asked for");
    end
  end
`endif
endmodule
