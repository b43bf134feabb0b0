// Weight rows between loader and array: a ring of twice the rows that a group with several positions may have, so that
// the next group arrives while the present one is read once for each position, and of `rows_ahead` more. A row leaves when the group's last position
// reads it: rows of a group with one position go through as they arrive, however many they are.
// Cost: one memory of ring_rows(Engine) rows. A row is read in the cycle of its step and appears in the next. A row that
// is pushed can be read in the next cycle; the place of a row that leaves is free three cycles later.
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
  output logic               row_here,  // the present row can be used
  input  logic               step,  // it is used
  input  logic               rewind,  // with step: the position ends
  input  logic               final_position,  // with step: the position is its group's last
  input  logic               release_group,  // with rewind: the group ends
  output logic [RowBits-1:0] step_row
);
  localparam int unsigned Depth = ring_rows(Engine);
  localparam int unsigned AddressBits = index_width(Depth);
  localparam int unsigned LevelBits = AddressBits + 1;

  logic [AddressBits-1:0] write_pointer, read_pointer, base, following;
  logic [LevelBits-1:0] level;  // rows that are held
  logic [LevelBits-1:0] unread;  // rows that have not been read yet
  logic fresh, fresh_next;  // the present position is its group's first: later ones find every row
  logic push, taken, left;

  assign push = row_valid && row_ready;
  assign taken = step && fresh;
  assign fresh_next = step && rewind ? release_group : fresh;
  assign following = after(read_pointer);

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
      left <= 1'b0;
    end else begin
      if (push) write_pointer <= after(write_pointer);
      if (step) read_pointer <= rewind && !release_group ? base : following;
      if (step && release_group) base <= following;
      left <= step && final_position;
      level <= level + LevelBits'(push) - LevelBits'(left);
      row_ready <= !(level == LevelBits'(Depth) || (level == LevelBits'(Depth - 1) && push));
      if (push && !taken) unread <= unread + 1'b1;
      if (taken && !push) unread <= unread - 1'b1;
      fresh <= fresh_next;
      row_here <= !fresh_next || push || unread > LevelBits'(1) || (unread[0] && !taken);
    end
  end

  cascade_ram #(
    .Depth(Depth),
    .PieceBits(RowBits),
    .Style(Engine.weight_memory == WeightMemoryUltra ? "ultra" : "auto")
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
    if (rst_n) begin
      assert (!(step && !row_here)) else $error("%m: a row was used that is not here");
      assert (!(left && level == '0)) else $error("%m: more rows left than came");
      assert (32'(level) <= Depth) else $error("%m: a row came that has no place");
    end
  end
`endif
endmodule
