// Model of a DSP48E1 in the one mode that the engine uses: P = (A + D) * B, plus PCIN if OPMODE says so, with the
// registers A2, D, AD, B1, B2, M and P, always enabled. Any other attribute or pin stops the simulation.
(* blackbox *)  // Yosys takes the vendor's cell
module DSP48E1 #(
  parameter USE_DPORT = "FALSE",
  parameter A_INPUT = "DIRECT",
  parameter B_INPUT = "DIRECT",
  parameter USE_MULT = "MULTIPLY",
  parameter USE_SIMD = "ONE48",
  parameter USE_PATTERN_DETECT = "NO_PATDET",
  parameter integer AREG = 1,
  parameter integer ACASCREG = 1,
  parameter integer DREG = 1,
  parameter integer ADREG = 1,
  parameter integer BREG = 1,
  parameter integer BCASCREG = 1,
  parameter integer CREG = 1,
  parameter integer MREG = 1,
  parameter integer PREG = 1,
  parameter integer INMODEREG = 1,
  parameter integer OPMODEREG = 1,
  parameter integer ALUMODEREG = 1,
  parameter integer CARRYINREG = 1,
  parameter integer CARRYINSELREG = 1
) (
  input  logic        CLK,
  input  logic [29:0] A,
  input  logic [29:0] ACIN,
  input  logic [17:0] B,
  input  logic [17:0] BCIN,
  input  logic [47:0] C,
  input  logic [24:0] D,
  input  logic [47:0] PCIN,
  input  logic        CARRYCASCIN,
  input  logic        MULTSIGNIN,
  input  logic        CARRYIN,
  input  logic [2:0]  CARRYINSEL,
  input  logic [3:0]  ALUMODE,
  input  logic [4:0]  INMODE,
  input  logic [6:0]  OPMODE,
  input  logic        CEA1, CEA2, CEAD, CED, CEB1, CEB2, CEC, CEM, CEP, CEALUMODE, CECARRYIN, CECTRL, CEINMODE,
  input  logic        RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE,
  output logic [47:0] P,
  output logic [47:0] PCOUT
);
  logic signed [24:0] a, d, ad;
  logic signed [17:0] b1, b2;
  logic signed [42:0] m;
  logic [47:0] addend;
  assign addend = OPMODE[4] ? PCIN : '0;

  always_ff @(posedge CLK) begin
    a <= A[24:0];
    d <= D;
    ad <= a + d;
    b1 <= B;
    b2 <= b1;
    m <= 43'(ad) * 43'(b2);
    P <= 48'(m) + addend;
  end
  assign PCOUT = P;

  if (USE_DPORT != "TRUE" || A_INPUT != "DIRECT" || B_INPUT != "DIRECT" ||
      USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48" || USE_PATTERN_DETECT != "NO_PATDET") begin : g_wrong_mode
    $error("%m: the model of DSP48E1 covers (A + D) * B only");
  end
  if (AREG != 1 || ACASCREG != 1 || DREG != 1 || ADREG != 1 || BREG != 2 || BCASCREG != 2 || CREG != 0 || MREG != 1 ||
      PREG != 1 || INMODEREG != 0 || OPMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0 ||
      CARRYINSELREG != 0) begin : g_wrong_registers
    $error("%m: the model of DSP48E1 covers the registers A2, D, AD, B1, B2, M and P only");
  end
`ifndef SYNTHESIS
  always_ff @(posedge CLK) begin
    assert (OPMODE inside {7'b000_01_01, 7'b001_01_01} && INMODE == 5'b00100 && ALUMODE == '0 && CARRYINSEL == '0 && !CARRYIN)
    else $fatal(1, "%m: the model of DSP48E1 covers (A + D) * B and its sum with PCIN only");
    assert (&{CEA2, CEAD, CED, CEB1, CEB2, CEM, CEP} &&
            {RSTA, RSTB, RSTD, RSTM, RSTP, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE} == '0)
    else $fatal(1, "%m: the model of DSP48E1 covers registers that are always enabled and never reset only");
  end
`endif
endmodule
