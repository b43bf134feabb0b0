// Protocol checks and measures over every channel of the design; it drives nothing.
// Bit i of `violations` is sticky from job_begin on and named in jobs.py.
module cascade_checks #(
    parameter int unsigned BusBits = 128
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 job_begin,
    input  logic                 running,      // between the start and the done that the host saw
    input  logic                 start,        // high while the start is being written
    input  logic                 memory_busy,
    input  logic                 bad_last,
    input  logic                 wrote_outside,
    input  logic [         31:0] retired,
    output logic [         15:0] violations,
    output logic [         63:0] cycles,       // since the start
    output logic [         63:0] cycles_seen,  // from the start to the last write response
    output logic [         31:0] quiet_cycles, // since anything moved
    // s_axi_control
    input  logic                 s_wvalid,
    input  logic                 s_wready,
    input  logic                 s_bvalid,
    input  logic                 s_bready,
    input  logic [          1:0] s_bresp,
    input  logic                 s_rvalid,
    input  logic                 s_rready,
    input  logic [         31:0] s_rdata,
    input  logic [          1:0] s_rresp,
    // m_axi_gmem0, m_axi_gmem1
    input  logic                 arvalid      [2],
    input  logic                 arready      [2],
    input  logic [         63:0] araddr       [2],
    input  logic [          7:0] arlen        [2],
    input  logic [          2:0] arsize       [2],
    input  logic [          1:0] arburst      [2],
    input  logic                 rvalid       [2],
    input  logic                 rready       [2],
    input  logic                 awvalid,
    input  logic                 awready,
    input  logic [         63:0] awaddr,
    input  logic [          7:0] awlen,
    input  logic [          2:0] awsize,
    input  logic [          1:0] awburst,
    input  logic                 wvalid,
    input  logic                 wready,
    input  logic [  BusBits-1:0] wdata,
    input  logic [BusBits/8-1:0] wstrb,
    input  logic                 wlast,
    input  logic                 bvalid,
    input  logic                 bready
);
  localparam int unsigned BusBytes = BusBits / 8;

  logic [ 5:0] unstable;
  logic        in_reset;  // from a reset's second cycle on
  logic [31:0] retired_before;

  for (genvar port = 0; port < 2; port++) begin : read
    cascade_stable #(.Width(77)) address (
        .clk, .rst_n, .valid(arvalid[port]), .ready(arready[port]),
        .payload({araddr[port], arlen[port], arsize[port], arburst[port]}), .broken(unstable[port]));
  end
  cascade_stable #(.Width(77)) write_address (
      .clk, .rst_n, .valid(awvalid), .ready(awready), .payload({awaddr, awlen, awsize, awburst}),
      .broken(unstable[2]));
  cascade_stable #(.Width(BusBits + BusBytes + 1)) write_data (
      .clk, .rst_n, .valid(wvalid), .ready(wready), .payload({wdata, wstrb, wlast}), .broken(unstable[3]));
  cascade_stable #(.Width(2)) register_written (
      .clk, .rst_n, .valid(s_bvalid), .ready(s_bready), .payload(s_bresp), .broken(unstable[4]));
  cascade_stable #(.Width(34)) register_read (
      .clk, .rst_n, .valid(s_rvalid), .ready(s_rready), .payload({s_rdata, s_rresp}), .broken(unstable[5]));

  // (wrong size or type, not aligned to a beat, crosses 4,096 bytes)
  function automatic logic [2:0] faults(input logic valid, input logic [63:0] address, input logic [7:0] length,
                                        input logic [2:0] size, input logic [1:0] burst);
    automatic logic [14:0] last = 15'(address[11:0]) + (15'(length) + 15'd1) * 15'(BusBytes) - 15'd1;
    return {3{valid}} &
        {size != 3'($clog2(BusBytes)) || burst != 2'b01, (address & 64'(BusBytes - 1)) != '0, last[14:12] != '0};
  endfunction

  wire [2:0] bursts = faults(arvalid[0], araddr[0], arlen[0], arsize[0], arburst[0]) |
      faults(arvalid[1], araddr[1], arlen[1], arsize[1], arburst[1]) |
      faults(awvalid, awaddr, awlen, awsize, awburst);
  wire       offered = arvalid[0] || arvalid[1] || awvalid || wvalid;
  wire       moved = (arvalid[0] && arready[0]) || (arvalid[1] && arready[1]) || (rvalid[0] && rready[0]) ||
      (rvalid[1] && rready[1]) || (awvalid && awready) || (wvalid && wready) || (bvalid && bready);
  wire       refused = (s_bvalid && s_bresp != 2'b00) || (s_rvalid && s_rresp != 2'b00);

  always_ff @(posedge clk) begin
    in_reset <= !rst_n;
    retired_before <= retired;
    if (job_begin) violations <= '0;
    else begin
      violations <= violations | {
        1'b0,
        rst_n && refused,
        rst_n && !running && memory_busy,
        wrote_outside,
        rst_n && !running && offered,
        in_reset && !rst_n && (offered || s_bvalid || s_rvalid),
        rst_n && bad_last,
        {3{rst_n}} & bursts,
        unstable
      };
    end
    if (job_begin || (start && s_wvalid && s_wready)) cycles <= '0;
    else cycles <= cycles + 64'd1;
    if (job_begin) cycles_seen <= '0;
    else if (bvalid && bready) cycles_seen <= cycles + 64'd1;
    if (!running || moved || retired != retired_before) quiet_cycles <= '0;
    else quiet_cycles <= quiet_cycles + 32'd1;
  end
endmodule
