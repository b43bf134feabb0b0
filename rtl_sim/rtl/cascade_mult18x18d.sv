// One MULT18X18D of an ECP5 as a signed multiplier with its three registers: product = a * b.
// Latency: 3 cycles. Cost: one multiplier, nothing else.
module cascade_mult18x18d (
  input  logic               clk,
  input  logic signed [17:0] a,
  input  logic signed [17:0] b,
  output logic signed [35:0] product
);
  MULT18X18D #(
    .REG_INPUTA_CLK("CLK0"),
    .REG_INPUTB_CLK("CLK0"),
    .REG_PIPELINE_CLK("CLK0"),
    .REG_OUTPUT_CLK("CLK0"),
    .SOURCEB_MODE("B_SHIFT"),
    .MULT_BYPASS("DISABLED"),
    .GSR("DISABLED"),
    .RESETMODE("SYNC")
  ) i_mult (
    .A17(a[17]), .A16(a[16]), .A15(a[15]), .A14(a[14]), .A13(a[13]), .A12(a[12]), .A11(a[11]), .A10(a[10]),
    .A9(a[9]), .A8(a[8]), .A7(a[7]), .A6(a[6]), .A5(a[5]), .A4(a[4]), .A3(a[3]), .A2(a[2]), .A1(a[1]), .A0(a[0]),
    .B17(b[17]), .B16(b[16]), .B15(b[15]), .B14(b[14]), .B13(b[13]), .B12(b[12]), .B11(b[11]), .B10(b[10]),
    .B9(b[9]), .B8(b[8]), .B7(b[7]), .B6(b[6]), .B5(b[5]), .B4(b[4]), .B3(b[3]), .B2(b[2]), .B1(b[1]), .B0(b[0]),
    .P35(product[35]), .P34(product[34]), .P33(product[33]), .P32(product[32]), .P31(product[31]),
    .P30(product[30]), .P29(product[29]), .P28(product[28]), .P27(product[27]), .P26(product[26]),
    .P25(product[25]), .P24(product[24]), .P23(product[23]), .P22(product[22]), .P21(product[21]),
    .P20(product[20]), .P19(product[19]), .P18(product[18]), .P17(product[17]), .P16(product[16]),
    .P15(product[15]), .P14(product[14]), .P13(product[13]), .P12(product[12]), .P11(product[11]),
    .P10(product[10]), .P9(product[9]), .P8(product[8]), .P7(product[7]), .P6(product[6]), .P5(product[5]),
    .P4(product[4]), .P3(product[3]), .P2(product[2]), .P1(product[1]), .P0(product[0]),
    .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
    .CLK0(clk), .CLK1(1'b0), .CLK2(1'b0), .CLK3(1'b0), .CE0(1'b1), .CE1(1'b1), .CE2(1'b1), .CE3(1'b1),
    .RST0(1'b0), .RST1(1'b0), .RST2(1'b0), .RST3(1'b0)
  );
endmodule
