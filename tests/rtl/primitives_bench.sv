// The models of the DSP blocks, fed with random and extreme values. The DSP48E1 runs beside Yosys' own model
// (YosysDsp48e1); what the DSP48E2 and the MULT18X18D took and gave goes to the files of a reference.
module primitives_bench ();
  localparam int Cycles = 20_000, Written = 3_000;
  logic clk = 0;
  int cycle = 0, differences = 0;
  logic [29:0] a;
  logic [17:0] b;
  logic [26:0] d;
  logic [47:0] pcin;
  logic [47:0] p_first, p_link, pcout_link, yosys_first, yosys_link, p2_first, p2_link, pcout2_first;
  logic signed [35:0] product;
  int file;
  string folder;
  always #1 clk = !clk;

  function automatic logic [47:0] drawn();
    case ($urandom_range(4))
      0: return '0;
      1: return '1;
      2: return {$urandom_range(1) == 0 ? 1'b1 : 1'b0, 47'd0};
      default: return {16'($urandom), $urandom};
    endcase
  endfunction
  // The most negative or positive value of a port too: a product's corner.
  function automatic logic [29:0] drawn_port(int bits);
    logic [47:0] any;
    any = drawn();
    case ($urandom_range(3))
      0: return 30'(any & ((48'd1 << (bits - 1)) - 1));
      1: return 30'(any | (48'd1 << (bits - 1)));
      2: return 30'(48'd1 << (bits - 1)) - 30'($urandom_range(1));
      default: return 30'(any);
    endcase
  endfunction

  `define COMMON .ACIN('0), .BCIN('0), .C('1), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0), .CARRYIN(1'b0), \
    .CARRYINSEL(3'd0), .ALUMODE(4'd0), .INMODE(5'b00100), .CEA1(1'b0), .CEA2(1'b1), .CEAD(1'b1), .CED(1'b1), \
    .CEB1(1'b1), .CEB2(1'b1), .CEC(1'b0), .CEM(1'b1), .CEP(1'b1), .CEALUMODE(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), \
    .CEINMODE(1'b0), .RSTA(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTM(1'b0), .RSTP(1'b0), \
    .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0), .RSTCTRL(1'b0), .RSTINMODE(1'b0), .CLK(clk), .A(a), .B(b)
  `define REGISTERS .AREG(1), .ACASCREG(1), .DREG(1), .ADREG(1), .BREG(2), .BCASCREG(2), .CREG(0), .MREG(1), .PREG(1), \
    .INMODEREG(0), .OPMODEREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0)

  DSP48E1 #(`REGISTERS, .USE_DPORT("TRUE")) i_first (
    `COMMON, .D(d[24:0]), .OPMODE(7'b000_01_01), .PCIN(pcin), .P(p_first), .PCOUT()
  );
  DSP48E1 #(`REGISTERS, .USE_DPORT("TRUE")) i_link (
    `COMMON, .D(d[24:0]), .OPMODE(7'b001_01_01), .PCIN(pcin), .P(p_link), .PCOUT(pcout_link)
  );
  YosysDsp48e1 #(`REGISTERS, .USE_DPORT("TRUE")) i_yosys_first (
    `COMMON, .D(d[24:0]), .OPMODE(7'b000_01_01), .PCIN(pcin), .P(yosys_first)
  );
  YosysDsp48e1 #(`REGISTERS, .USE_DPORT("TRUE")) i_yosys_link (
    `COMMON, .D(d[24:0]), .OPMODE(7'b001_01_01), .PCIN(pcin), .P(yosys_link)
  );
  DSP48E2 #(`REGISTERS, .AMULTSEL("AD")) i_e2_first (
    `COMMON, .D(d), .OPMODE(9'b00_000_01_01), .PCIN(pcin), .P(p2_first), .PCOUT(pcout2_first)
  );
  DSP48E2 #(`REGISTERS, .AMULTSEL("AD")) i_e2_link (
    `COMMON, .D(d), .OPMODE(9'b00_001_01_01), .PCIN(pcin), .P(p2_link), .PCOUT()
  );
  cascade_mult18x18d i_mult (.clk, .a(a[17:0]), .b, .product);

  initial begin
    void'($value$plusargs("folder=%s", folder));
    file = $fopen({folder, "/blocks"}, "w");
  end

  always_ff @(posedge clk) begin
    cycle <= cycle + 1;
    a <= drawn_port($urandom_range(1) == 0 ? 27 : 25);
    b <= 18'(drawn_port(18));
    d <= 27'(drawn_port($urandom_range(1) == 0 ? 27 : 25));
    pcin <= drawn();
    if (cycle > 8) begin
      if (p_first != yosys_first || p_link != yosys_link || pcout_link != yosys_link) differences <= differences + 1;
    end
    if (cycle > 0 && cycle < Written) begin
      $fdisplay(file, "%0d %0d %0d %0d %0d %0d %0d %0d", a, b, d, pcin, p2_first, p2_link, pcout2_first, product);
    end
    if (cycle == Cycles) begin
      $display("differences %0d", differences);
      $fclose(file);
      $finish;
    end
  end
endmodule
