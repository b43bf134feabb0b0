// Lets two clients read through one AXI read master; a beat goes to the client that asked for it.
// Client 0 goes first where both ask. Up to Open requests may be under way; latency 0.
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
  logic winner, locked, locked_winner;
  logic order_in_ready, order_valid, order_client, order_pop;
  logic [31:0] order_beats, taken;

  // Once offered, a request stays until it is taken.
  assign winner = locked ? locked_winner : !client_request_valid[0];
  assign request_valid = client_request_valid[winner] && order_in_ready;
  assign request_address = client_request_address[winner];
  assign request_beats = client_request_beats[winner];
  always_comb begin
    client_request_ready = '0;
    client_request_ready[winner] = request_ready && order_in_ready;
    client_data_valid = '0;
    client_data_valid[order_client] = data_valid && order_valid;
  end
  assign client_data = data;
  assign data_ready = order_valid && client_data_ready[order_client];
  assign order_pop = data_valid && data_ready && taken + 32'd1 == order_beats;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      locked <= 1'b0;
      locked_winner <= 1'b0;
      taken <= '0;
    end else begin
      locked <= request_valid && !request_ready;
      locked_winner <= winner;
      if (data_valid && data_ready) taken <= order_pop ? '0 : taken + 32'd1;
    end
  end

  cascade_fifo #(
    .Width(33),
    .Depth(Open)
  ) i_order (
    .clk,
    .rst_n,
    .in_valid(client_request_valid[winner] && request_ready && request_beats != '0),
    .in_ready(order_in_ready),
    .in_data({winner, request_beats}),
    .out_valid(order_valid),
    .out_ready(order_pop),
    .out_data({order_client, order_beats})
  );
endmodule
