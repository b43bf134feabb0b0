// STRIPES: which rows of each lane lie inside the map, until the next STRIPES or the end of the pass; a pass begins with
// all rows inside. The windows of all lanes are held for the walks of CONV and MAXPOOL; movers, which serve one lane
// after the other, take `stripes` and count the lanes' windows for themselves.
// An instruction takes lanes_p + 1 cycles from `start` to `done`, lanes_p + 3 of the program. Cost: 24 registers a lane.
module cascade_stripes
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned LaneBits = lane_bits(Engine)
) (
  input  logic       clk,
  input  logic       rst_n,
  input  logic       pass_ends,
  input  logic       start,
  input  operation_t operation,
  output logic       done,
  output stripes_t   stripes,
  output window_t    windows[Engine.lanes_p]
);
  stripes_t asked;
  window_t window;
  logic fills;
  logic [LaneBits-1:0] lane;

  assign asked = '{height: operation.code.in_height, rows: operation.code.out_height, top: operation.code.pad_top};
  cascade_window i_window (
    .clk,
    .start,
    .stripes(asked),
    .step(fills),
    .window
  );

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      fills <= 1'b0;
      done <= 1'b0;
    end else begin
      if (start) fills <= 1'b1;
      else if (32'(lane) == Engine.lanes_p - 1) fills <= 1'b0;
      done <= fills && 32'(lane) == Engine.lanes_p - 1;
    end
    lane <= fills ? lane + 1'b1 : '0;
    for (int unsigned p = 0; p < Engine.lanes_p; p++) if (fills && 32'(lane) == p) windows[p] <= window;
    if (start) stripes <= asked;
    if (!rst_n || pass_ends) begin
      stripes <= AllInside;
      windows <= '{default: EveryRow};
    end
  end
endmodule
