// The address generator of tiles' inputs: for every output-channel group and tile, every word of a pixel (in
// `TransformCycles` slices of its channels) and every column of the tile, the t inputs of that column. It runs as far
// ahead as the transform behind it lets it. Outside the map nothing is read.
// Latency: bank address in the cycle of the read, the word's flags one cycle later, with the bank's word.
module cascade_tile_reader
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned SliceBits = index_width(Engine.transform_cycles),
  localparam int unsigned BankBits = bank_bits(Engine)
) (
  input  logic                 clk,
  input  logic                 rst_n,
  input  logic                 start,
  input  operation_t           operation,
  input  logic                 enable,
  output error_e               problem,
  // the bank's read port
  output logic                 read_wanted,
  input  logic                 read_allowed,
  output logic [BankBits-1:0]  read_address,
  // one cycle after the read
  output logic                 word_valid,
  output logic                 word_inside,  // the map; 0 where it is not
  output logic [SliceBits-1:0] word_slice
);
  localparam int unsigned CoordinateBits = 18;

  typedef logic signed [CoordinateBits-1:0] coordinate_t;
  typedef logic [WalkBits-1:0] address_t;

  instruction_t i;
  logic four;
  logic [2:0] tile, last_tap;
  assign i = operation.code;
  assign four = i.tile == 8'd4;
  assign tile = four ? 3'd4 : 3'd2;
  assign last_tap = four ? 3'd5 : 3'd3;

  // What is left, the present one included; rows and columns of the output map, from this tile on.
  logic [15:0] groups_left, rows_left, columns_left, words_left;
  logic [SliceBits-1:0] slice;
  logic [2:0] row, column;
  coordinate_t tile_y, tile_x;
  address_t line_start, tile_start, word_start, column_start, address;
  logic busy, go, in_map;
  logic column_ends, block_ends, word_ends, tile_ends, line_ends, map_ends;

  assign column_ends = row == last_tap;
  assign block_ends = column_ends && column == last_tap;
  assign word_ends = block_ends && 32'(slice) == Engine.transform_cycles - 1;
  assign tile_ends = word_ends && words_left == 16'd1;
  assign line_ends = tile_ends && columns_left <= 16'(tile);
  assign map_ends = line_ends && rows_left <= 16'(tile);

  coordinate_t y, x;
  assign y = tile_y + coordinate_t'({1'b0, row});
  assign x = tile_x + coordinate_t'({1'b0, column});
  assign in_map = y >= 0 && y < coordinate_t'({1'b0, i.in_height}) && x >= 0 && x < coordinate_t'({1'b0, i.in_width});
  assign read_wanted = busy && enable && in_map;
  assign read_address = BankBits'(address);
  assign go = busy && enable && (!in_map || read_allowed);

  address_t column_next, tile_next, line_next;
  assign column_next = column_start + address_t'(i.in_words);
  assign tile_next = tile_start + (address_t'(i.in_words) << (four ? 2 : 1));
  assign line_next = line_start + (address_t'(i.in_row_words) << (four ? 2 : 1));

  coordinate_t origin_y, origin_x;
  assign origin_y = -coordinate_t'({1'b0, i.pad_top});
  assign origin_x = -coordinate_t'({1'b0, i.pad_left});

  always_ff @(posedge clk) begin
    if (!rst_n) busy <= 1'b0;
    else if (start) busy <= 1'b1;
    else if (go && map_ends && groups_left == 16'd1) busy <= 1'b0;

    if (start) begin
      groups_left <= i.groups;
      rows_left <= i.out_height;
      columns_left <= i.out_width;
      words_left <= i.sub_rows;
      slice <= '0;
      row <= '0;
      column <= '0;
      tile_y <= origin_y;
      tile_x <= origin_x;
      line_start <= operation.origin;
      tile_start <= operation.origin;
      word_start <= operation.origin;
      column_start <= operation.origin;
      address <= operation.origin;
    end else if (go) begin
      row <= row + 3'd1;
      address <= address + address_t'(i.in_row_words);
      if (column_ends) begin
        row <= '0;
        column <= column + 3'd1;
        column_start <= column_next;
        address <= column_next;
      end
      if (block_ends) begin
        column <= '0;
        slice <= slice + 1'b1;
        column_start <= word_start;
        address <= word_start;
      end
      if (word_ends) begin
        slice <= '0;
        words_left <= words_left - 16'd1;
        word_start <= word_start + 1'b1;
        column_start <= word_start + 1'b1;
        address <= word_start + 1'b1;
      end
      if (tile_ends) begin
        words_left <= i.sub_rows;
        columns_left <= columns_left - 16'(tile);
        tile_x <= tile_x + coordinate_t'({1'b0, tile});
        tile_start <= tile_next;
        word_start <= tile_next;
        column_start <= tile_next;
        address <= tile_next;
      end
      if (line_ends) begin
        columns_left <= i.out_width;
        rows_left <= rows_left - 16'(tile);
        tile_x <= origin_x;
        tile_y <= tile_y + coordinate_t'({1'b0, tile});
        line_start <= line_next;
        tile_start <= line_next;
        word_start <= line_next;
        column_start <= line_next;
        address <= line_next;
      end
      if (map_ends) begin
        groups_left <= groups_left - 16'd1;
        rows_left <= i.out_height;
        tile_y <= origin_y;
        line_start <= operation.origin;
        tile_start <= operation.origin;
        word_start <= operation.origin;
        column_start <= operation.origin;
        address <= operation.origin;
      end
    end
  end

  logic out_of_range;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      word_valid <= 1'b0;
      out_of_range <= 1'b0;
    end else begin
      word_valid <= go;
      out_of_range <= go && in_map && address >= address_t'(Engine.bank_depth);
    end
    if (go) begin
      word_inside <= in_map;
      word_slice <= slice;
    end
  end
  assign problem = out_of_range ? ErrorAddress : ErrorNone;
endmodule
