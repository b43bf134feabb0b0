// Weight rows between loader and array: a ring of twice the rows that one group may have, so that the next
// group arrives while the present one is read once for each position. Cost: one memory of
// 2 * WeightDepth rows. A row is read in the cycle of its step and appears in the next. A row that is pushed can be
// read in the next cycle; the place of a group that is released is free three cycles later.
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
  output logic               row_here,  // the present row can be used
  input  logic               step,  // it is used
  input  logic               rewind,  // with step: the position ends
  input  logic               release_group,  // with rewind: the group ends
  output logic [RowBits-1:0] step_row
);
  localparam int unsigned Depth = 2 * Engine.weight_depth;
  localparam int unsigned AddressBits = index_width(Depth);
  localparam int unsigned LevelBits = AddressBits + 1;

  logic [AddressBits-1:0] write_pointer, read_pointer, base, base_next;
  logic [AddressBits:0] base_sum;
  logic [LevelBits-1:0] level;  // rows of the present group and of the next one
  logic [LevelBits-1:0] unread;  // rows that have not been read yet
  logic fresh, fresh_next;  // the present position is its group's first: later ones find every row
  logic push, taken, released;

  assign push = row_valid && row_ready;
  assign taken = step && fresh;
  assign fresh_next = step && rewind ? release_group : fresh;
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
      row_ready <= 1'b1;
      unread <= '0;
      fresh <= 1'b1;
      row_here <= 1'b0;
      released <= 1'b0;
    end else begin
      if (push) write_pointer <= after(write_pointer);
      if (step) read_pointer <= release_group ? base_next : rewind ? base : after(read_pointer);
      if (step && release_group) base <= base_next;
      released <= step && release_group;
      level <= level + LevelBits'(push) - (released ? LevelBits'(rows) : '0);
      row_ready <= !(level == LevelBits'(Depth) || (level == LevelBits'(Depth - 1) && push));
      if (push && !taken) unread <= unread + 1'b1;
      if (taken && !push) unread <= unread - 1'b1;
      fresh <= fresh_next;
      row_here <= !fresh_next || push || unread > LevelBits'(1) || (unread[0] && !taken);
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

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (!(step && !row_here)) else $error("%m: a row was used that is not here");
  end
`endif
endmodule
