// Registers behind s_axi_control (AXI4-Lite), in the layout that Vitis gives a kernel (PROGRAM.md).
// One write and one read at a time; an address is taken first, then its data. No output follows an input in the
// same cycle. A start written while the engine runs is ignored.
module cascade_control
  import cascade_pkg::*;
#(
  parameter logic [63:0] Signature = 64'd0
) (
  input  logic        clk,
  input  logic        rst_n,
  input  logic        s_axi_awvalid,
  output logic        s_axi_awready,
  input  logic [6:0]  s_axi_awaddr,
  input  logic        s_axi_wvalid,
  output logic        s_axi_wready,
  input  logic [31:0] s_axi_wdata,
  input  logic [3:0]  s_axi_wstrb,
  output logic        s_axi_bvalid,
  input  logic        s_axi_bready,
  input  logic        s_axi_arvalid,
  output logic        s_axi_arready,
  input  logic [6:0]  s_axi_araddr,
  output logic        s_axi_rvalid,
  input  logic        s_axi_rready,
  output logic [31:0] s_axi_rdata,
  output logic        interrupt,
  output logic        start,  // one cycle
  output logic [63:0] program_address,
  output logic [63:0] weights_address,
  output logic [63:0] images_address,
  output logic [63:0] results_address,
  output logic [63:0] maps_address,
  output logic [31:0] image_count,
  input  logic        busy,
  input  logic        done,  // one cycle
  input  error_e      error,
  input  logic [63:0] cycles,
  input  logic [31:0] weight_stall_cycles
);
  // Word addresses (byte address / 4).
  localparam logic [4:0] Control = 5'h00, GlobalEnable = 5'h01, Enable = 5'h02, Status = 5'h03;
  localparam logic [4:0] ProgramLow = 5'h04, ProgramHigh = 5'h05, WeightsLow = 5'h07, WeightsHigh = 5'h08;
  localparam logic [4:0] ImagesLow = 5'h0A, ImagesHigh = 5'h0B, ResultsLow = 5'h0D, ResultsHigh = 5'h0E;
  localparam logic [4:0] MapsLow = 5'h10, MapsHigh = 5'h11, Count = 5'h13, ErrorCode = 5'h15, ErrorValid = 5'h16;
  localparam logic [4:0] CyclesLow = 5'h18, CyclesHigh = 5'h19, Stalls = 5'h1A;
  localparam logic [4:0] SignatureLow = 5'h1C, SignatureHigh = 5'h1D;

  logic starting, finished, ready, error_valid, global_enable;
  logic [1:0] enable, status;
  logic addressed, write, read;
  logic [4:0] write_word, read_word;

  assign s_axi_awready = !addressed && !s_axi_bvalid;
  assign s_axi_wready = addressed;
  assign s_axi_arready = !s_axi_rvalid;
  assign write = addressed && s_axi_wvalid;
  assign read = s_axi_arvalid && s_axi_arready;
  assign read_word = s_axi_araddr[6:2];
  assign interrupt = global_enable && status != '0;

  function automatic logic [31:0] merged(logic [31:0] old, logic [31:0] data, logic [3:0] strobe);
    logic [31:0] value;
    for (int unsigned i = 0; i < 4; i++) value[8*i+:8] = strobe[i] ? data[8*i+:8] : old[8*i+:8];
    return value;
  endfunction

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      s_axi_bvalid <= 1'b0;
      s_axi_rvalid <= 1'b0;
      s_axi_rdata <= '0;
      addressed <= 1'b0;
      write_word <= '0;
      start <= 1'b0;
      starting <= 1'b0;
      finished <= 1'b0;
      ready <= 1'b0;
      error_valid <= 1'b0;
      global_enable <= 1'b0;
      enable <= '0;
      status <= '0;
      program_address <= '0;
      weights_address <= '0;
      images_address <= '0;
      results_address <= '0;
      maps_address <= '0;
      image_count <= '0;
    end else begin
      start <= 1'b0;
      if (s_axi_bready) s_axi_bvalid <= 1'b0;
      if (s_axi_rready) s_axi_rvalid <= 1'b0;

      if (s_axi_awvalid && s_axi_awready) begin
        addressed <= 1'b1;
        write_word <= s_axi_awaddr[6:2];
      end
      if (write) begin
        addressed <= 1'b0;
        s_axi_bvalid <= 1'b1;
        case (write_word)
          Control:
          if (s_axi_wstrb[0] && s_axi_wdata[0] && !starting) begin
            start <= 1'b1;
            starting <= 1'b1;
          end
          GlobalEnable: if (s_axi_wstrb[0]) global_enable <= s_axi_wdata[0];
          Enable: if (s_axi_wstrb[0]) enable <= s_axi_wdata[1:0];
          Status: if (s_axi_wstrb[0]) status <= status ^ s_axi_wdata[1:0];
          ProgramLow: program_address[31:0] <= merged(program_address[31:0], s_axi_wdata, s_axi_wstrb);
          ProgramHigh: program_address[63:32] <= merged(program_address[63:32], s_axi_wdata, s_axi_wstrb);
          WeightsLow: weights_address[31:0] <= merged(weights_address[31:0], s_axi_wdata, s_axi_wstrb);
          WeightsHigh: weights_address[63:32] <= merged(weights_address[63:32], s_axi_wdata, s_axi_wstrb);
          ImagesLow: images_address[31:0] <= merged(images_address[31:0], s_axi_wdata, s_axi_wstrb);
          ImagesHigh: images_address[63:32] <= merged(images_address[63:32], s_axi_wdata, s_axi_wstrb);
          ResultsLow: results_address[31:0] <= merged(results_address[31:0], s_axi_wdata, s_axi_wstrb);
          ResultsHigh: results_address[63:32] <= merged(results_address[63:32], s_axi_wdata, s_axi_wstrb);
          MapsLow: maps_address[31:0] <= merged(maps_address[31:0], s_axi_wdata, s_axi_wstrb);
          MapsHigh: maps_address[63:32] <= merged(maps_address[63:32], s_axi_wdata, s_axi_wstrb);
          Count: image_count <= merged(image_count, s_axi_wdata, s_axi_wstrb);
          default: ;
        endcase
      end

      if (read) begin
        s_axi_rvalid <= 1'b1;
        s_axi_rdata <= '0;
        case (read_word)
          Control: begin
            s_axi_rdata[3:0] <= {ready, !starting && !busy, finished, starting};
            finished <= 1'b0;
            ready <= 1'b0;
          end
          GlobalEnable: s_axi_rdata[0] <= global_enable;
          Enable: s_axi_rdata[1:0] <= enable;
          Status: s_axi_rdata[1:0] <= status;
          ProgramLow: s_axi_rdata <= program_address[31:0];
          ProgramHigh: s_axi_rdata <= program_address[63:32];
          WeightsLow: s_axi_rdata <= weights_address[31:0];
          WeightsHigh: s_axi_rdata <= weights_address[63:32];
          ImagesLow: s_axi_rdata <= images_address[31:0];
          ImagesHigh: s_axi_rdata <= images_address[63:32];
          ResultsLow: s_axi_rdata <= results_address[31:0];
          ResultsHigh: s_axi_rdata <= results_address[63:32];
          MapsLow: s_axi_rdata <= maps_address[31:0];
          MapsHigh: s_axi_rdata <= maps_address[63:32];
          Count: s_axi_rdata <= image_count;
          ErrorCode: s_axi_rdata[3:0] <= error;
          ErrorValid: begin
            s_axi_rdata[0] <= error_valid;
            error_valid <= 1'b0;
          end
          CyclesLow: s_axi_rdata <= cycles[31:0];
          CyclesHigh: s_axi_rdata <= cycles[63:32];
          Stalls: s_axi_rdata <= weight_stall_cycles;
          SignatureLow: s_axi_rdata <= Signature[31:0];
          SignatureHigh: s_axi_rdata <= Signature[63:32];
          default: ;
        endcase
      end

      // Last, so that an event in the cycle of an access is not lost.
      if (done) begin
        starting <= 1'b0;
        finished <= 1'b1;
        ready <= 1'b1;
        error_valid <= 1'b1;
        status <= status | enable;
      end
    end
  end
endmodule
