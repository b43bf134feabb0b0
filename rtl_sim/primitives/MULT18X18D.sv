// Model of a MULT18X18D in the one mode that the engine uses: signed, its three registers on CLK0, always enabled.
// Any other attribute or pin stops the simulation.
(* blackbox *)  // Yosys takes the vendor's cell
module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE",
  parameter REG_INPUTB_CLK = "NONE",
  parameter REG_PIPELINE_CLK = "NONE",
  parameter REG_OUTPUT_CLK = "NONE",
  parameter SOURCEB_MODE = "B_SHIFT",
  parameter MULT_BYPASS = "DISABLED",
  parameter GSR = "ENABLED",
  parameter RESETMODE = "SYNC"
) (
  input logic A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input logic B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input logic SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
  output logic P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
    P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  logic signed [17:0] a, b;
  logic signed [35:0] pipeline, product;

  always_ff @(posedge CLK0) begin
    a <= {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    b <= {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    pipeline <= 36'(a) * 36'(b);
    product <= pipeline;
  end
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
      P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product;

  if (REG_INPUTA_CLK != "CLK0" || REG_INPUTB_CLK != "CLK0" || REG_PIPELINE_CLK != "CLK0" || REG_OUTPUT_CLK != "CLK0" ||
    SOURCEB_MODE != "B_SHIFT" || MULT_BYPASS != "DISABLED" || GSR != "DISABLED" || RESETMODE != "SYNC") begin :
      g_wrong
    $error("%m: the model of MULT18X18D covers three registers on CLK0 without GSR only");
  end
`ifndef SYNTHESIS
  always_ff @(posedge CLK0) begin
    assert ({SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK1, CLK2, CLK3, CE0, RST0} == 9'b1_1_0_0_0_0_0_1_0)
    else $fatal(1, "%m: the model of MULT18X18D covers signed operands, always enabled, only");
  end
`endif
endmodule
