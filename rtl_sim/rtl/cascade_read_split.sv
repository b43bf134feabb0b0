// One AXI4 read master on two memory ports of half its width: bursts go to the ports in turn, so that both bring beats at
// once. It stands between a unit's m_axi_gmem1 and two ports of a processing system that are narrower than the unit's bus.
// A burst is passed on only when its beats fit its port's FIFO: data under way never waits on a port. Bursts of more than
// `FifoBeats` beats, or of a narrow size, are not for it.
// Cost: two FIFOs of `FifoBeats` beats in block RAM. Latency: 1 cycle to the port's address, 3 from the port's last half of
// a beat; a beat a cycle if both ports bring a half in each.
module cascade_read_split
  import cascade_pkg::*;
#(
  parameter int unsigned BusBits = 256,
  parameter int unsigned FifoBeats = 128,
  localparam int unsigned HalfBits = BusBits / 2
) (
  input  logic                ap_clk,
  input  logic                ap_rst_n,
  // from the unit
  input  logic                s_axi_arvalid,
  output logic                s_axi_arready,
  input  logic [63:0]         s_axi_araddr,
  input  logic [0:0]          s_axi_arid,
  input  logic [7:0]          s_axi_arlen,
  input  logic [2:0]          s_axi_arsize,
  input  logic [1:0]          s_axi_arburst,
  input  logic [0:0]          s_axi_arlock,
  input  logic [3:0]          s_axi_arcache,
  input  logic [2:0]          s_axi_arprot,
  input  logic [3:0]          s_axi_arqos,
  output logic                s_axi_rvalid,
  input  logic                s_axi_rready,
  output logic [0:0]          s_axi_rid,
  output logic [BusBits-1:0]  s_axi_rdata,
  output logic [1:0]          s_axi_rresp,
  output logic                s_axi_rlast,
  // to the memory
  output logic                m_axi_even_arvalid,
  input  logic                m_axi_even_arready,
  output logic [63:0]         m_axi_even_araddr,
  output logic [0:0]          m_axi_even_arid,
  output logic [7:0]          m_axi_even_arlen,
  output logic [2:0]          m_axi_even_arsize,
  output logic [1:0]          m_axi_even_arburst,
  output logic [0:0]          m_axi_even_arlock,
  output logic [3:0]          m_axi_even_arcache,
  output logic [2:0]          m_axi_even_arprot,
  output logic [3:0]          m_axi_even_arqos,
  input  logic                m_axi_even_rvalid,
  output logic                m_axi_even_rready,
  input  logic [0:0]          m_axi_even_rid,
  input  logic [HalfBits-1:0] m_axi_even_rdata,
  input  logic [1:0]          m_axi_even_rresp,
  input  logic                m_axi_even_rlast,
  output logic                m_axi_odd_arvalid,
  input  logic                m_axi_odd_arready,
  output logic [63:0]         m_axi_odd_araddr,
  output logic [0:0]          m_axi_odd_arid,
  output logic [7:0]          m_axi_odd_arlen,
  output logic [2:0]          m_axi_odd_arsize,
  output logic [1:0]          m_axi_odd_arburst,
  output logic [0:0]          m_axi_odd_arlock,
  output logic [3:0]          m_axi_odd_arcache,
  output logic [2:0]          m_axi_odd_arprot,
  output logic [3:0]          m_axi_odd_arqos,
  input  logic                m_axi_odd_rvalid,
  output logic                m_axi_odd_rready,
  input  logic [0:0]          m_axi_odd_rid,
  input  logic [HalfBits-1:0] m_axi_odd_rdata,
  input  logic [1:0]          m_axi_odd_rresp,
  input  logic                m_axi_odd_rlast
);
  localparam int unsigned CountBits = $clog2(FifoBeats + 1);
  localparam int unsigned FifoBits = BusBits + 3;  // a beat, its response, whether it is its burst's last

  logic ask_port, read_port;  // whose turn it is
  logic [1:0] asked, arvalid, arready, free, rvalid, rready, rlast, beat_valid, beat_taken;
  logic [1:0][1:0] rresp;
  logic [1:0][0:0] rid;
  logic [1:0][63:0] araddr;
  logic [1:0][7:0] arlen;
  logic [1:0][HalfBits-1:0] rdata;
  logic [1:0][FifoBits-1:0] beat;

  assign s_axi_arready = free[ask_port];
  assign {s_axi_rlast, s_axi_rresp, s_axi_rdata} = beat[read_port];
  assign s_axi_rvalid = beat_valid[read_port];
  assign s_axi_rid = '0;
  always_comb begin
    asked = '0;
    asked[ask_port] = s_axi_arvalid && s_axi_arready;
    beat_taken = '0;
    beat_taken[read_port] = s_axi_rvalid && s_axi_rready;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      ask_port <= 1'b0;
      read_port <= 1'b0;
    end else begin
      if (asked != '0) ask_port <= !ask_port;
      if (beat_taken != '0 && s_axi_rlast) read_port <= !read_port;
    end
  end

  for (genvar port = 0; port < 2; port++) begin : g_port
    logic [CountBits-1:0] reserved;  // beats that were asked for and not yet taken
    logic [CountBits-1:0] length;
    logic second;  // the half to come is a beat's second
    logic [HalfBits-1:0] first_half;
    logic [1:0] first_response;
    logic fifo_ready;

    assign length = CountBits'(s_axi_arlen) + 1'b1;
    assign free[port] = !arvalid[port] && 32'(reserved) + 32'(length) <= FifoBeats;
    assign rready[port] = !second || fifo_ready;
    always_ff @(posedge ap_clk) begin
      if (!ap_rst_n) begin
        arvalid[port] <= 1'b0;
        reserved <= '0;
        second <= 1'b0;
      end else begin
        if (asked[port]) arvalid[port] <= 1'b1;
        else if (arready[port]) arvalid[port] <= 1'b0;
        reserved <= reserved + (asked[port] ? length : '0) - CountBits'(beat_taken[port]);
        if (rvalid[port] && rready[port]) second <= !second;
      end
      if (asked[port]) begin
        araddr[port] <= s_axi_araddr;
        arlen[port] <= {s_axi_arlen[6:0], 1'b1};  // twice the beats
      end
      if (rvalid[port] && !second) begin
        first_half <= rdata[port];
        first_response <= rresp[port] | {rid[port] != '0, 1'b0};
      end
    end

    cascade_fifo #(
      .Width(FifoBits),
      .Depth(FifoBeats),
      .Block(1'b1)
    ) i_fifo (
      .clk(ap_clk),
      .rst_n(ap_rst_n),
      .in_valid(rvalid[port] && second),
      .in_ready(fifo_ready),
      .in_data({rlast[port], first_response | rresp[port] | {rid[port] != '0, 1'b0}, rdata[port], first_half}),
      .out_valid(beat_valid[port]),
      .out_ready(beat_taken[port]),
      .out_data(beat[port])
    );
  end

  assign {m_axi_odd_arvalid, m_axi_even_arvalid} = arvalid;
  assign arready = {m_axi_odd_arready, m_axi_even_arready};
  assign {m_axi_odd_araddr, m_axi_even_araddr} = araddr;
  assign {m_axi_odd_arlen, m_axi_even_arlen} = arlen;
  assign {m_axi_odd_arid, m_axi_even_arid} = '0;
  assign {m_axi_odd_arsize, m_axi_even_arsize} = {2{3'($clog2(HalfBits / 8))}};
  assign {m_axi_odd_arburst, m_axi_even_arburst} = {2{2'b01}};
  assign {m_axi_odd_arlock, m_axi_even_arlock} = '0;
  assign {m_axi_odd_arcache, m_axi_even_arcache} = {2{4'b0011}};
  assign {m_axi_odd_arprot, m_axi_even_arprot} = '0;
  assign {m_axi_odd_arqos, m_axi_even_arqos} = '0;
  assign rvalid = {m_axi_odd_rvalid, m_axi_even_rvalid};
  assign {m_axi_odd_rready, m_axi_even_rready} = rready;
  assign rid = {m_axi_odd_rid, m_axi_even_rid};
  assign rdata = {m_axi_odd_rdata, m_axi_even_rdata};
  assign rresp = {m_axi_odd_rresp, m_axi_even_rresp};
  assign rlast = {m_axi_odd_rlast, m_axi_even_rlast};

  logic unused;
  assign unused = ^{s_axi_arid, s_axi_arsize, s_axi_arburst, s_axi_arlock, s_axi_arcache, s_axi_arprot, s_axi_arqos};
`ifndef SYNTHESIS
  always_ff @(posedge ap_clk) begin
    if (ap_rst_n && s_axi_arvalid) begin
      assert (32'(s_axi_arlen) < FifoBeats && s_axi_arlen < 8'd128) else $error("%m: a burst of %0d beats", s_axi_arlen + 1);
      assert (32'(s_axi_arsize) == $clog2(BusBits / 8) && s_axi_arburst == 2'b01) else $error("%m: a burst of another kind");
    end
  end
`endif
endmodule
