// Lets two clients read through one AXI read master; a beat goes to the client that asked for it.
// Client 0 goes first where both ask. Up to Open requests, none of 0 beats, may be under way. A request is offered one
// cycle after it came, so that no path leads from client to client; beats pass at once.
module cascade_share
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  parameter int unsigned Open = 8
) (
  input  logic                           clk,
  input  logic                           rst_n,
  input  logic [1:0]                     client_request_valid,
  output logic [1:0]                     client_request_ready,
  input  logic [1:0][AxiAddressBits-1:0] client_request_address,
  input  logic [1:0][31:0]               client_request_beats,
  output logic [1:0]                     client_data_valid,
  input  logic [1:0]                     client_data_ready,
  output logic [Engine.bus_bits-1:0]     client_data,
  output logic                           request_valid,
  input  logic                           request_ready,
  output logic [AxiAddressBits-1:0]      request_address,
  output logic [31:0]                    request_beats,
  input  logic                           data_valid,
  output logic                           data_ready,
  input  logic [Engine.bus_bits-1:0]     data
);
  logic winner, chosen;  // whose request is offered, if one is
  logic order_in_ready, order_valid, order_client, order_pop;
  logic [31:0] order_beats, beats_left;
  logic active, client, last_beat, take;  // of the request whose beats come

  // Once chosen, a request stays until it is taken.
  assign request_valid = chosen && order_in_ready;
  assign request_address = client_request_address[winner];
  assign request_beats = client_request_beats[winner];
  always_comb begin
    client_request_ready = '0;
    client_request_ready[winner] = chosen && request_ready && order_in_ready;
    client_data_valid = '0;
    client_data_valid[client] = data_valid && active;
  end
  assign client_data = data;
  assign data_ready = active && client_data_ready[client];
  assign take = data_valid && data_ready;
  assign order_pop = order_valid && (!active || (take && last_beat));

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      chosen <= 1'b0;
      active <= 1'b0;
    end else begin
      chosen <= chosen ? !(request_ready && order_in_ready) : client_request_valid != '0;
      if (order_pop) active <= 1'b1;
      else if (take && last_beat) active <= 1'b0;
    end
    if (!chosen) winner <= !client_request_valid[0];
    if (order_pop) begin
      client <= order_client;
      beats_left <= order_beats;
      last_beat <= order_beats == 32'd1;
    end else if (take) begin
      beats_left <= beats_left - 32'd1;
      last_beat <= beats_left == 32'd2;
    end
  end

  cascade_fifo #(
    .Width(33),
    .Depth(Open)
  ) i_order (
    .clk,
    .rst_n,
    .in_valid(chosen && request_ready),
    .in_ready(order_in_ready),
    .in_data({winner, request_beats}),
    .out_valid(order_valid),
    .out_ready(order_pop),
    .out_data({order_client, order_beats})
  );

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (!request_valid || request_beats != '0) else $error("%m: a request of 0 beats");
  end
`endif
endmodule
