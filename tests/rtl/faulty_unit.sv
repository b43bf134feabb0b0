// A unit that breaks the rule that the number of images names: the bench must see every one of them.
// Without a fault it copies Beats beats of images, xor weights, to the results, and retires one instruction.
module cascade_single
  import cascade_pkg::*;
(
  input  logic        ap_clk,
  input  logic        ap_rst_n,
  output logic        interrupt,
  input  logic        s_axi_control_awvalid,
  output logic        s_axi_control_awready,
  input  logic [6:0]  s_axi_control_awaddr,
  input  logic        s_axi_control_wvalid,
  output logic        s_axi_control_wready,
  input  logic [31:0] s_axi_control_wdata,
  input  logic [3:0]  s_axi_control_wstrb,
  output logic        s_axi_control_bvalid,
  input  logic        s_axi_control_bready,
  output logic [1:0]  s_axi_control_bresp,
  input  logic        s_axi_control_arvalid,
  output logic        s_axi_control_arready,
  input  logic [6:0]  s_axi_control_araddr,
  output logic        s_axi_control_rvalid,
  input  logic        s_axi_control_rready,
  output logic [31:0] s_axi_control_rdata,
  output logic [1:0]  s_axi_control_rresp,
  output logic        m_axi_gmem0_awvalid,
  input  logic        m_axi_gmem0_awready,
  output logic [63:0] m_axi_gmem0_awaddr,
  output logic [0:0]  m_axi_gmem0_awid,
  output logic [7:0]  m_axi_gmem0_awlen,
  output logic [2:0]  m_axi_gmem0_awsize,
  output logic [1:0]  m_axi_gmem0_awburst,
  output logic [0:0]  m_axi_gmem0_awlock,
  output logic [3:0]  m_axi_gmem0_awcache,
  output logic [2:0]  m_axi_gmem0_awprot,
  output logic [3:0]  m_axi_gmem0_awqos,
  output logic        m_axi_gmem0_wvalid,
  input  logic        m_axi_gmem0_wready,
  output logic [63:0] m_axi_gmem0_wdata,
  output logic [7:0]  m_axi_gmem0_wstrb,
  output logic        m_axi_gmem0_wlast,
  input  logic        m_axi_gmem0_bvalid,
  output logic        m_axi_gmem0_bready,
  input  logic [0:0]  m_axi_gmem0_bid,
  input  logic [1:0]  m_axi_gmem0_bresp,
  output logic        m_axi_gmem0_arvalid,
  input  logic        m_axi_gmem0_arready,
  output logic [63:0] m_axi_gmem0_araddr,
  output logic [0:0]  m_axi_gmem0_arid,
  output logic [7:0]  m_axi_gmem0_arlen,
  output logic [2:0]  m_axi_gmem0_arsize,
  output logic [1:0]  m_axi_gmem0_arburst,
  output logic [0:0]  m_axi_gmem0_arlock,
  output logic [3:0]  m_axi_gmem0_arcache,
  output logic [2:0]  m_axi_gmem0_arprot,
  output logic [3:0]  m_axi_gmem0_arqos,
  input  logic        m_axi_gmem0_rvalid,
  output logic        m_axi_gmem0_rready,
  input  logic [0:0]  m_axi_gmem0_rid,
  input  logic [63:0] m_axi_gmem0_rdata,
  input  logic [1:0]  m_axi_gmem0_rresp,
  input  logic        m_axi_gmem0_rlast,
  output logic        m_axi_gmem1_arvalid,
  input  logic        m_axi_gmem1_arready,
  output logic [63:0] m_axi_gmem1_araddr,
  output logic [0:0]  m_axi_gmem1_arid,
  output logic [7:0]  m_axi_gmem1_arlen,
  output logic [2:0]  m_axi_gmem1_arsize,
  output logic [1:0]  m_axi_gmem1_arburst,
  output logic [0:0]  m_axi_gmem1_arlock,
  output logic [3:0]  m_axi_gmem1_arcache,
  output logic [2:0]  m_axi_gmem1_arprot,
  output logic [3:0]  m_axi_gmem1_arqos,
  input  logic        m_axi_gmem1_rvalid,
  output logic        m_axi_gmem1_rready,
  input  logic [0:0]  m_axi_gmem1_rid,
  input  logic [63:0] m_axi_gmem1_rdata,
  input  logic [1:0]  m_axi_gmem1_rresp,
  input  logic        m_axi_gmem1_rlast
);
  localparam int unsigned Beats = 40;

  typedef enum logic [4:0] {
    None = 5'd1, ReadAddress, WriteAddress, WriteData, Crosses, NotAligned, Narrow, EarlyLast, Outside, Late, UnderWay,
    Hangs, InReset, Fatal
  } fault_e;

  logic [63:0] program_address, weights_address, images_address, results_address, maps_address;
  logic [31:0] image_count;
  logic start, busy, done;
  logic [63:0] held[Beats];
  logic [6:0] read0, read1, written;
  logic [7:0] toggling;
  logic asked_to_write, writing;
  fault_e fault;

  cascade_control #(.Signature(64'hSIGNATURE)) control (
    .clk(ap_clk), .rst_n(ap_rst_n),
    .s_axi_awvalid(s_axi_control_awvalid), .s_axi_awready(s_axi_control_awready), .s_axi_awaddr(s_axi_control_awaddr),
    .s_axi_wvalid(s_axi_control_wvalid), .s_axi_wready(s_axi_control_wready), .s_axi_wdata(s_axi_control_wdata),
    .s_axi_wstrb(s_axi_control_wstrb), .s_axi_bvalid(s_axi_control_bvalid), .s_axi_bready(s_axi_control_bready),
    .s_axi_arvalid(s_axi_control_arvalid), .s_axi_arready(s_axi_control_arready), .s_axi_araddr(s_axi_control_araddr),
    .s_axi_rvalid(s_axi_control_rvalid), .s_axi_rready(s_axi_control_rready), .s_axi_rdata(s_axi_control_rdata),
    .interrupt, .start, .program_address, .weights_address, .images_address, .results_address, .maps_address, .image_count,
    .busy, .done, .error(ErrorNone), .cycles(64'd0), .weight_stall_cycles(32'd0)
  );
  assign {s_axi_control_bresp, s_axi_control_rresp} = '0;

  assign fault = fault_e'(image_count[4:0]);
  assign {m_axi_gmem0_awid, m_axi_gmem0_awlock, m_axi_gmem0_awcache, m_axi_gmem0_awprot, m_axi_gmem0_awqos} = '0;
  assign {m_axi_gmem0_arid, m_axi_gmem0_arlock, m_axi_gmem0_arcache, m_axi_gmem0_arprot, m_axi_gmem0_arqos} = '0;
  assign {m_axi_gmem1_arid, m_axi_gmem1_arlock, m_axi_gmem1_arcache, m_axi_gmem1_arprot, m_axi_gmem1_arqos} = '0;
  assign m_axi_gmem0_arsize = fault == Narrow ? 3'd2 : 3'd3;
  assign {m_axi_gmem0_awsize, m_axi_gmem1_arsize} = {2{3'd3}};
  assign {m_axi_gmem0_awburst, m_axi_gmem0_arburst, m_axi_gmem1_arburst} = {3{2'b01}};
  assign {m_axi_gmem0_awlen, m_axi_gmem0_arlen, m_axi_gmem1_arlen} = {3{8'(Beats - 1)}};
  assign m_axi_gmem0_araddr = images_address + (fault == Crosses ? 64'd3840 : fault == NotAligned ? 64'd4 : 64'd0) +
      (fault == ReadAddress ? 64'(toggling) << 3 : 64'd0);
  assign m_axi_gmem1_araddr = weights_address;
  assign m_axi_gmem0_awaddr = results_address + (fault == Outside ? 64'd8 : 64'd0) +
      (fault == WriteAddress ? 64'(toggling) << 3 : 64'd0);
  assign m_axi_gmem0_wdata = held[written] ^ (fault == WriteData ? 64'(toggling) : 64'd0);
  assign m_axi_gmem0_wstrb = '1;
  assign m_axi_gmem0_wvalid = writing && written < Beats;
  assign m_axi_gmem0_wlast = written == Beats - (fault == EarlyLast ? 2 : 1);
  assign {m_axi_gmem0_rready, m_axi_gmem1_rready, m_axi_gmem0_bready} = '1;

  always_ff @(posedge ap_clk) begin
    toggling <= toggling + 8'd1;
    done <= 1'b0;
    if (m_axi_gmem0_arready) m_axi_gmem0_arvalid <= 1'b0;
    if (m_axi_gmem1_arready) m_axi_gmem1_arvalid <= 1'b0;
    if (m_axi_gmem0_awready) m_axi_gmem0_awvalid <= 1'b0;
    if (m_axi_gmem0_awvalid && m_axi_gmem0_awready) writing <= 1'b1;
    if (m_axi_gmem0_rvalid) held[read0] <= m_axi_gmem0_rdata;
    if (m_axi_gmem0_rvalid) read0 <= read0 + 7'd1;
    if (m_axi_gmem1_rvalid) read1 <= read1 + 7'd1;
    if (m_axi_gmem0_wvalid && m_axi_gmem0_wready) written <= written + 7'd1;
    if (busy && read0 == Beats && read1 == Beats && !asked_to_write && fault != Hangs) begin
      asked_to_write <= 1'b1;
      m_axi_gmem0_awvalid <= 1'b1;
    end
    if (busy && written == Beats && (m_axi_gmem0_bvalid || fault == UnderWay)) begin
      busy <= 1'b0;
      done <= 1'b1;
      m_axi_gmem1_arvalid <= fault == Late;
    end
    if (start) begin
      busy <= 1'b1;
      {read0, read1, written, asked_to_write, writing} <= '0;
      {m_axi_gmem0_arvalid, m_axi_gmem1_arvalid} <= '1;
    end
    if (!ap_rst_n) begin
      {busy, writing, asked_to_write, m_axi_gmem0_awvalid, m_axi_gmem1_arvalid} <= '0;
      if (fault != InReset) m_axi_gmem0_arvalid <= 1'b0;
    end
    if (busy && fault == Fatal) assert (written < 4) else $error("a deliberate failure");
  end
endmodule
