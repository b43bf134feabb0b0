// Cuts the weight stream's beats into items: parameter records, dense rows or indexed rows. An item takes
// several beats, or several items share one; a section begins at a beat boundary. One item or beat per
// cycle; two idle cycles between sections. Cost: a register as wide as the widest item.
module cascade_unpack
  import cascade_pkg::*;
#(
  parameter int unsigned BusBits = 128,
  parameter int unsigned DenseBits = 128,  // width of a row without indices
  parameter int unsigned IndexedBits = 176,  // and with them
  localparam int unsigned ItemBits = maximum(IndexedBits, RecordBits)
) (
  input  logic                clk,
  input  logic                rst_n,
  input  logic                section_valid,
  output logic                section_ready,
  input  logic [1:0]          section_kind,  // 0 records, 1 dense rows, 2 indexed rows
  input  logic [16:0]         section_items,  // not 0
  input  logic                beat_valid,
  output logic                beat_ready,
  input  logic [BusBits-1:0]  beat,
  output logic                item_valid,
  input  logic                item_ready,
  output logic                item_is_record,
  output logic [ItemBits-1:0] item,
  output logic                item_last  // of its section
);
  function automatic int unsigned bits_of(int unsigned kind);
    return kind == 0 ? RecordBits : kind == 1 ? DenseBits : IndexedBits;
  endfunction
  function automatic int unsigned beats_of(int unsigned kind);
    return (bits_of(kind) + BusBits - 1) / BusBits;
  endfunction
  function automatic int unsigned share_of(int unsigned kind);
    return maximum(BusBits / bits_of(kind), 1);
  endfunction

  localparam int unsigned Beats = maximum(maximum(beats_of(0), beats_of(1)), beats_of(2));
  localparam int unsigned BeatBits = index_width(Beats);
  localparam int unsigned Share = maximum(maximum(share_of(0), share_of(1)), share_of(2));
  localparam int unsigned ShareBits = $clog2(Share + 1);
  localparam int unsigned AssemblyBits = Beats * BusBits;

  logic active, full, last_share;  // the item is the beat's last
  logic [1:0] kind;
  logic [16:0] items_left;
  logic [BeatBits-1:0] place, last_place;
  logic [ShareBits-1:0] share_left, share;
  logic [Beats-1:0][BusBits-1:0] assembly;
  logic [BusBits-1:0] shifted;
  logic take_item, take_beat, ends;

  assign section_ready = !active;
  assign item_valid = full;
  assign take_item = full && item_ready;
  assign ends = take_item && item_last;
  assign beat_ready = active && (!full || (item_ready && !item_last && last_share));
  assign take_beat = beat_valid && beat_ready;
  if (AssemblyBits >= ItemBits) begin : g_item
    logic [AssemblyBits-1:0] bits;
    assign bits = assembly;
    assign item = bits[ItemBits-1:0];
  end else begin : g_padded_item
    assign item = ItemBits'(assembly);
  end

  always_comb begin
    last_place = '0;
    share = '0;
    shifted = assembly[0];
    for (int unsigned n = 0; n < 3; n++) begin
      if (kind == 2'(n)) begin
        last_place = BeatBits'(beats_of(n) - 1);
        share = ShareBits'(share_of(n));
        if (share_of(n) > 1) shifted = assembly[0] >> bits_of(n);
      end
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      active <= 1'b0;
      full <= 1'b0;
      kind <= '0;
      item_is_record <= 1'b1;
      items_left <= '0;
      item_last <= 1'b0;
      place <= '0;
      share_left <= '0;
      last_share <= 1'b0;
    end else begin
      if (section_valid && section_ready) begin
        active <= 1'b1;
        kind <= section_kind;
        item_is_record <= section_kind == 2'd0;
        items_left <= section_items;
        item_last <= section_items == 17'd1;
        place <= '0;
      end
      if (take_item) begin
        items_left <= items_left - 17'd1;
        item_last <= items_left == 17'd2;
        share_left <= share_left - 1'b1;
        last_share <= share_left == ShareBits'(2);
        if (item_last || last_share) full <= 1'b0;
        if (item_last) active <= 1'b0;
      end
      if (take_beat) begin
        place <= place == last_place ? '0 : place + 1'b1;
        if (place == last_place) begin
          full <= 1'b1;
          share_left <= share;
          last_share <= share == ShareBits'(1);
        end
      end
    end
    if (take_beat) assembly[place] <= beat;
    else if (take_item && !ends) assembly[0] <= shifted;
  end
endmodule
