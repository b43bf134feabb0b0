// Weight rows between loader and array: a ring of twice the rows that one group may have, so that the next
// group arrives while the present one is read once for each position. Cost: one memory of
// 2 * WeightDepth rows. A row is read in the cycle of its step and appears in the next.
module cascade_ring
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned RowBits = row_bits(Engine, 1'b1)
) (
  input  logic               clk,
  input  logic               rst_n,
  input  logic               row_valid,
  output logic               row_ready,
  input  logic [RowBits-1:0] row,
  input  logic [15:0]        rows,  // of the group that is read
  input  logic               step,  // the present row is used
  input  logic               rewind,  // with step: the position ends
  input  logic               release_group,  // with rewind: the group ends
  output logic [17:0]        level,  // rows of the group that are here, and those of the next
  output logic [RowBits-1:0] step_row
);
  localparam int unsigned Depth = 2 * Engine.weight_depth;
  localparam int unsigned AddressBits = index_width(Depth);

  logic [AddressBits-1:0] write_pointer, read_pointer, base, base_next;
  logic [AddressBits:0] base_sum;
  logic push;

  assign row_ready = level < 18'(Depth);
  assign push = row_valid && row_ready;
  assign base_sum = (AddressBits + 1)'(base) + (AddressBits + 1)'(rows);
  assign base_next = base_sum >= (AddressBits + 1)'(Depth) ? AddressBits'(base_sum - (AddressBits + 1)'(Depth)) :
      AddressBits'(base_sum);

  function automatic logic [AddressBits-1:0] after(logic [AddressBits-1:0] pointer);
    return pointer == AddressBits'(Depth - 1) ? '0 : pointer + 1'b1;
  endfunction

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      write_pointer <= '0;
      read_pointer <= '0;
      base <= '0;
      level <= '0;
    end else begin
      if (push) write_pointer <= after(write_pointer);
      if (step) read_pointer <= release_group ? base_next : rewind ? base : after(read_pointer);
      if (step && release_group) base <= base_next;
      level <= level + 18'(push) - (step && release_group ? 18'(rows) : 18'd0);
    end
  end

  cascade_ram #(
    .Depth(Depth),
    .PieceBits(RowBits)
  ) i_ram (
    .clk,
    .write_enable(push),
    .write_address(write_pointer),
    .write_data(row),
    .read_enable(step),
    .read_address(read_pointer),
    .read_data(step_row)
  );
endmodule
