// Reads the weight stream ahead of the core: for each CONV and each of its groups one packet, parameters
// first, then rows. Asks for the whole stream of each pass at once and counts what it takes, so that a
// program that wants more or less than its header promised stops with an error and not in silence: where the
// core waits for what does not come, or at the pass's end, so that an instruction's own error comes first.
module cascade_loader
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned ItemBits = item_bits(Engine),
  localparam int unsigned DenseBits = row_bits(Engine, 1'b0),
  localparam int unsigned IndexedBits = row_bits(Engine, 1'b1)
) (
  input  logic                       clk,
  input  logic                       rst_n,
  input  logic                       start,
  input  logic                       narrow,  // the program's precision
  input  logic                       striped,  // one image a pass
  input  logic [AxiAddressBits-1:0]  weights_address,
  input  logic [31:0]                weight_beats,
  input  logic [31:0]                image_count,
  output logic                       wrong_length,  // until reset: the instructions want more or fewer beats than there are
  input  logic                       packet_valid,
  output logic                       packet_ready,
  input  packet_t                    packet,
  output logic                       request_valid,
  input  logic                       request_ready,
  output logic [AxiAddressBits-1:0]  request_address,
  output logic [31:0]                request_beats,
  input  logic                       data_valid,
  output logic                       data_ready,
  input  logic [Engine.bus_bits-1:0] data,
  output logic                       item_valid,
  input  logic                       item_ready,
  output logic                       item_is_record,
  output logic [ItemBits-1:0]        item,
  output logic                       item_last
);
  localparam int unsigned DrainBits = $clog2(Engine.drain_k);

  // Requests: the same stretch once per pass.
  logic [31:0] images_left, pass;
  assign pass = pass_images(Engine, narrow, striped);
  assign request_valid = images_left != '0;
  assign request_address = weights_address;
  assign request_beats = weight_beats;

  // Sections of the packets.
  typedef enum logic [2:0] {Wait, Parameters, Rows, Last, Halted} state_e;
  state_e state;
  logic [15:0] channels_left, groups_left, channels_here;
  logic [31:0] beats_left;
  logic section_valid, section_ready, beat_valid, beat_ready, take_beat, pass_ends, skip;
  logic [1:0] section_kind;
  logic [16:0] section_items;

  assign channels_here = channels_left < 16'(Engine.lanes_k) ? channels_left : 16'(Engine.lanes_k);
  assign section_valid = state == Parameters || state == Rows;
  assign section_kind = state == Parameters ? 2'd0 : packet.indexed ? 2'd2 : 2'd1;
  assign section_items = state == Parameters ?
      ((17'(channels_here) + 17'(Engine.drain_k - 1)) >> DrainBits) << DrainBits : 17'(packet.rows);
  // A packet stays at the head of the FIFO until its last section has been handed over.
  assign packet_ready = (state == Wait && !packet.last && (!packet.is_conv || skip)) ||
      (state == Rows && section_ready && groups_left == 16'd1) || pass_ends;
  assign pass_ends = state == Last && section_ready && beats_left == '0;

  assign beat_valid = data_valid && beats_left != '0;
  assign data_ready = beats_left != '0 && beat_ready;
  assign take_beat = data_valid && data_ready;
  assign wrong_length = beats_left == '0 ? beat_ready : state == Last && section_ready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      images_left <= '0;
      state <= Wait;
      channels_left <= '0;
      groups_left <= '0;
      beats_left <= '0;
      skip <= 1'b0;
    end else begin
      if (start) begin
        images_left <= image_count;
        beats_left <= weight_beats;
      end else begin
        if (request_valid && request_ready) begin
          images_left <= images_left > pass ? images_left - pass : '0;
        end
        if (take_beat) beats_left <= beats_left - 32'd1;
      end
      case (state)
        Wait:
        if (packet_valid) begin
          if (packet.last) begin
            // The pass ends here; where there was no END, the core finds that.
            state <= skip || packet.is_end ? Last : Halted;
            skip <= 1'b0;
          end else if (packet.is_end) begin
            skip <= 1'b1;  // what follows END never runs
          end else if (packet.is_conv && !skip) begin
            channels_left <= packet.channels;
            groups_left <= packet.groups;
            state <= (packet.channels == '0 || packet.groups == '0 || packet.rows == '0) ? Halted : Parameters;
          end
        end
        Parameters: if (channels_left == '0) state <= Halted;  // the core finds the reason
        else if (section_ready) state <= Rows;
        Rows:
        if (section_ready) begin
          channels_left <= channels_left - channels_here;
          groups_left <= groups_left - 16'd1;
          state <= groups_left == 16'd1 ? Wait : Parameters;
        end
        Last:
        if (pass_ends) begin
          beats_left <= weight_beats;
          state <= Wait;
        end
        default: ;
      endcase
    end
  end

  cascade_unpack #(
    .BusBits(Engine.bus_bits),
    .DenseBits(DenseBits),
    .IndexedBits(IndexedBits)
  ) i_unpack (
    .clk,
    .rst_n,
    .section_valid(section_valid && channels_left != '0),
    .section_ready,
    .section_kind,
    .section_items,
    .beat_valid,
    .beat_ready,
    .beat(data),
    .item_valid,
    .item_ready,
    .item_is_record,
    .item,
    .item_last
  );
endmodule
