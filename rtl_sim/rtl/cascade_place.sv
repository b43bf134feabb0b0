// Where the drain's outputs go, position by position: row by row of the map, or tile by tile and there row by row,
// positions of a tile that lie outside the map left out. A direct CONV is one of 1 × 1 tiles.
// Cost: counters and additions; addresses are modulo 2^StoreBits, and out of range before they wrap.
module cascade_place
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned OutputBits = output_bits(Engine)
) (
  input  logic                  clk,
  input  logic                  rst_n,
  input  logic                  start,
  input  operation_t            operation,
  input  logic                  step,  // the position ends; also with `start`: a walk begins as if one ended
  output logic [StoreBits-1:0]  out_position,
  output logic [StoreBits-1:0]  result_position,
  output logic [StoreBits-1:0]  residual_position,
  output logic [OutputBits-1:0] tile_row,
  output logic [OutputBits-1:0] tile_column,
  output logic                  tile_ends,  // with this position
  output logic                  map_ends,
  output logic                  walk_ends  // with the last group's last position
);
  typedef logic [StoreBits-1:0] store_t;

  instruction_t i;
  logic [15:0] tile_columns, tile_rows;  // of the map
  logic next_tile_ends;  // the position that comes next ends its tile
  logic [3:1] last, last_next;  // column and row of the map's tiles, group
  logic line_ends;
  assign i = operation.code;

  cascade_nest #(
    .Loops(3)
  ) i_nest (
    .clk,
    .rst_n,
    .start,
    .step,
    .total({i.groups, tile_rows, tile_columns}),
    .inner_next(next_tile_ends),
    .last_next,
    .last,
    .ends({walk_ends, map_ends, line_ends, tile_ends})
  );

  always_ff @(posedge clk) begin
    if (step) result_position <= map_ends ? store_t'(i.out_base) : result_position + store_t'(i.channels);
  end

  if (Engine.tile == 0) begin : g_position
    store_t residual_line, next_line;
    assign next_line = map_ends ? store_t'(i.residual_base) : residual_line + store_t'(i.residual_row_words);
    assign {tile_row, tile_column} = '0;
    assign next_tile_ends = 1'b1;
    assign {tile_rows, tile_columns} = {i.out_height, i.out_width};
    logic unused;
    assign unused = ^{last, last_next};

    always_ff @(posedge clk) begin
      if (step) begin
        out_position <= map_ends ? store_t'(i.out_base) : out_position + store_t'(i.out_words);
        residual_position <= line_ends ? next_line : residual_position + store_t'(i.residual_pixel_words);
      end
      if (step && line_ends) residual_line <= next_line;
    end
  end else begin : g_tile
    typedef struct packed {
      store_t out;
      store_t residual;
    } place_t;

    typedef logic [OutputBits-1:0] output_t;
    logic [1:0] tile_bits;
    output_t last_output, next_row, next_column;  // of a tile, and of the position that comes next
    logic row_ends, next_row_ends;
    place_t origin, position, row, tile_start, line;  // of the tile's row, the tile, the row of tiles
    place_t column_step, row_step, next_position, next_of_row, next_tile, next_line;
    assign tile_bits = i.tile[2:1];  // of 1, 2 or 4
    assign last_output = output_t'((3'd1 << tile_bits) - 3'd1);
    assign out_position = position.out;
    assign residual_position = position.residual;
    assign tile_columns = tiles_in(i.out_width, tile_bits);
    assign tile_rows = tiles_in(i.out_height, tile_bits);

    assign next_column = row_ends ? '0 : tile_column + 1'b1;
    assign next_row = tile_ends ? '0 : row_ends ? tile_row + 1'b1 : tile_row;
    assign next_row_ends = next_column == (last_output & (last_next[1] ? output_t'(i.out_width) - 1'b1 : '1));
    assign next_tile_ends = next_row_ends &&
        next_row == (last_output & (last_next[2] ? output_t'(i.out_height) - 1'b1 : '1));
    logic unused;
    assign unused = ^last;

    assign origin = '{out: store_t'(i.out_base), residual: store_t'(i.residual_base)};
    assign column_step = '{out: store_t'(i.out_words), residual: store_t'(i.residual_pixel_words)};
    assign row_step = '{out: store_t'(operation.out_row_words), residual: store_t'(i.residual_row_words)};

    function automatic place_t after(place_t place, place_t stride, logic [1:0] shift);
      return '{out: place.out + (stride.out << shift), residual: place.residual + (stride.residual << shift)};
    endfunction
    assign next_line = map_ends ? origin : after(line, row_step, tile_bits);
    assign next_tile = line_ends ? next_line : after(tile_start, column_step, tile_bits);
    assign next_of_row = tile_ends ? next_tile : after(row, row_step, 2'd0);
    assign next_position = row_ends ? next_of_row : after(position, column_step, 2'd0);

    always_ff @(posedge clk) begin
      if (!rst_n) row_ends <= 1'b1;
      else if (step && (start || !walk_ends)) row_ends <= next_row_ends;
      if (step) begin
        tile_column <= next_column;
        tile_row <= next_row;
        position <= next_position;
      end
      if (step && row_ends) row <= next_of_row;
      if (step && tile_ends) tile_start <= next_tile;
      if (step && line_ends) line <= next_line;
    end
  end
endmodule
