// Host side of s_axi_control (AXI4-Lite): tasks that write and read one register.
//
// Address and data of a write are offered independently, and the answers are taken late, by seeded random delays
// of up to `slack` cycles. A reset abandons what is under way. It samples at the rising edge and drives at the
// falling one, so that no simulator's order of events matters.
module cascade_host (
    input  logic        clk,
    input  logic        rst_n,
    input  logic [ 3:0] slack,
    output logic        awvalid,
    input  logic        awready,
    output logic [ 6:0] awaddr,
    output logic        wvalid,
    input  logic        wready,
    output logic [31:0] wdata,
    output logic [ 3:0] wstrb,
    input  logic        bvalid,
    output logic        bready,
    output logic        arvalid,
    input  logic        arready,
    output logic [ 6:0] araddr,
    input  logic        rvalid,
    output logic        rready,
    input  logic [31:0] rdata
);
  logic [31:0] random = 32'h2545f491;

  assign wstrb = '1;

  function automatic int unsigned delay();
    random = random ^ (random << 13);
    random = random ^ (random >> 17);
    random = random ^ (random << 5);
    return slack == 0 ? 0 : 32'(random[15:8]) % (32'(slack) + 1);
  endfunction

  initial begin
    awvalid = 1'b0;
    wvalid = 1'b0;
    bready = 1'b0;
    arvalid = 1'b0;
    rready = 1'b0;
    awaddr = '0;
    wdata = '0;
    araddr = '0;
  end

  task automatic seed(input logic [31:0] value);
    random = (value * 32'h9e3779b9) | 32'd1;
  endtask

  // `done` is low where the design did not answer within `limit` cycles.
  task automatic write(input logic [6:0] address, input logic [31:0] value, input int unsigned limit,
                       output logic done);
    automatic int unsigned address_delay = delay();
    automatic int unsigned data_delay = delay();
    automatic int unsigned answer_delay = delay();
    automatic logic address_sent = 1'b0;
    automatic logic data_sent = 1'b0;
    done = 1'b0;
    for (int unsigned cycle = 0; cycle < limit && rst_n && !done; cycle++) begin
      if (!address_sent && cycle >= address_delay) begin
        awvalid = 1'b1;
        awaddr  = address;
      end
      if (!data_sent && cycle >= data_delay) begin
        wvalid = 1'b1;
        wdata  = value;
      end
      bready = address_sent && data_sent && answer_delay == 0;
      @(posedge clk);
      address_sent = address_sent || (awvalid && awready);
      data_sent = data_sent || (wvalid && wready);
      done = bvalid && bready;
      @(negedge clk);
      if (address_sent) awvalid = 1'b0;
      if (data_sent) wvalid = 1'b0;
      if (address_sent && data_sent && answer_delay != 0) answer_delay--;
    end
    release_bus();
  endtask

  task automatic read(input logic [6:0] address, input int unsigned limit, output logic [31:0] value,
                      output logic done);
    automatic int unsigned address_delay = delay();
    automatic int unsigned answer_delay = delay();
    automatic logic address_sent = 1'b0;
    done  = 1'b0;
    value = '0;
    for (int unsigned cycle = 0; cycle < limit && rst_n && !done; cycle++) begin
      if (!address_sent && cycle >= address_delay) begin
        arvalid = 1'b1;
        araddr  = address;
      end
      rready = address_sent && answer_delay == 0;
      @(posedge clk);
      address_sent = address_sent || (arvalid && arready);
      done = rvalid && rready;
      value = rdata;
      @(negedge clk);
      if (address_sent) arvalid = 1'b0;
      if (address_sent && answer_delay != 0) answer_delay--;
    end
    release_bus();
  endtask

  task automatic release_bus();
    awvalid = 1'b0;
    wvalid  = 1'b0;
    bready  = 1'b0;
    arvalid = 1'b0;
    rready  = 1'b0;
  endtask
endmodule
