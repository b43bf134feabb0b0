// FIFO between two ready/valid streams. Small ones (Block = 0) are LUT RAM read in the same cycle,
// latency 1; large ones (Block = 1) are block RAM with its output register, latency 2, one word more.
module cascade_fifo
  import cascade_pkg::*;
#(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 16,
  parameter bit Block = 1'b0
) (
  input  logic             clk,
  input  logic             rst_n,
  input  logic             in_valid,
  output logic             in_ready,
  input  logic [Width-1:0] in_data,
  output logic             out_valid,
  input  logic             out_ready,
  output logic [Width-1:0] out_data
);
  localparam int unsigned AddressBits = index_width(Depth);
  localparam int unsigned CountBits = $clog2(Depth + 1);
  if (Depth < 2 || (Depth & (Depth - 1)) != 0) begin : g_check_1
    $fatal(1, "cascade_fifo: Depth must be a power of two of 2 or more, not %0d", Depth);
  end

  logic [AddressBits-1:0] write_pointer, read_pointer;
  logic [CountBits-1:0] count;
  logic push, pop;

  assign in_ready = count != CountBits'(Depth);
  assign push = in_valid && in_ready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      write_pointer <= '0;
      read_pointer <= '0;
      count <= '0;
    end else begin
      if (push) write_pointer <= write_pointer + 1'b1;
      if (pop) read_pointer <= read_pointer + 1'b1;
      count <= count + CountBits'(push) - CountBits'(pop);
    end
  end

  if (Block) begin : g_block
    logic loaded;
    assign pop = count != '0 && (!loaded || out_ready);
    assign out_valid = loaded;
    always_ff @(posedge clk) begin
      if (!rst_n) loaded <= 1'b0;
      else if (pop) loaded <= 1'b1;
      else if (out_ready) loaded <= 1'b0;
    end
    cascade_ram #(
      .Depth(Depth),
      .PieceBits(Width)
    ) i_ram (
      .clk,
      .write_enable(push),
      .write_address(write_pointer),
      .write_data(in_data),
      .read_enable(pop),
      .read_address(read_pointer),
      .read_data(out_data)
    );
  end else begin : g_lut
    logic [Width-1:0] memory[Depth];
    assign pop = out_valid && out_ready;
    assign out_valid = count != '0;
    assign out_data = memory[read_pointer];
    always_ff @(posedge clk) begin
      if (push) memory[write_pointer] <= in_data;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (count <= CountBits'(Depth)) else $error("%m: count %0d exceeds %0d", count, Depth);
  end
`endif
endmodule
