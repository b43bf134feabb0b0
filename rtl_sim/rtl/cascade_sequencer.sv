// Runs the program: hands each prepared instruction to its unit, waits for it, counts passes, and stops at
// the first error. Where an instruction says that it may, the images of the next pass are loaded beside it and those that
// follow; the next pass's LOAD then only waits for what is left of that. At every end the masters finish what is under way
// and the whole datapath is reset, so that each run begins in the same state, whatever the one before did.
module cascade_sequencer
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned LaneBits = lane_bits(Engine)
) (
  input  logic                      clk,
  input  logic                      rst_n,
  input  logic                      start,
  input  logic [31:0]               image_count,
  input  logic [AxiAddressBits-1:0] images_address,
  input  logic [AxiAddressBits-1:0] results_address,
  input  header_t                   header,
  output logic                      busy,
  output logic                      done,  // one cycle
  output error_e                    error,
  // of the run
  output logic                      fetch_start,
  input  logic                      checked,
  input  error_e                    problem,  // of any unit, one cycle
  output logic                      stop,
  input  logic                      masters_idle,
  input  logic                      writes_finished,
  output logic                      clear,
  output logic                      pass_ends,  // one cycle
  // of the pass
  output logic [AxiAddressBits-1:0] image_address,  // of the first image to load, from the cycle after its start on
  output logic [AxiAddressBits-1:0] record_address,
  output logic [31:0]               image_index,
  output logic [LaneBits:0]         images,
  // of the instruction
  input  logic                      next_valid,
  output logic                      next_ready,
  input  operation_t                next_operation,
  input  logic                      next_last,
  input  logic                      taps_valid,  // a TAPS before `next_operation`, not yet counted
  output logic                      taps_ready,
  input  taps_t                     taps,
  output taps_t                     operation_taps,  // what the last TAPS before it said
  output operation_t                operation,
  output logic                      load_start,
  output logic                      ahead_start,  // of the LOAD of the next pass, as the last LOAD said
  output logic [LaneBits:0]         load_images,  // with either
  input  logic                      ahead_done,
  output logic                      conv_start,
  output logic                      pool_start,
  output logic                      stripes_start,
  output logic                      store_start,
  input  logic                      unit_done,
  output logic [31:0]               retired_count
);
  typedef enum logic [3:0] {Idle, Check, Dispatch, Run, Skip, PassEnd, Flush, Finish, Reset} state_e;
  state_e state;
  logic [31:0] images_left, pass_size;  // of the run, of a pass
  logic [32+LaneBits:0] image_stride, record_stride;  // of a pass; the header does not change in a run
  logic running, stopped, first_pass, more_passes;
  logic [31:0] images_after;  // in later passes
  logic ahead_begun, ahead_running, next_ahead, load_waits;

  // Of a pass of so many lanes, where so many are left.
  function automatic logic [LaneBits:0] images_of(logic [31:0] left, logic [31:0] most);
    return left < most ? (LaneBits + 1)'(left) : (LaneBits + 1)'(most);
  endfunction

  function automatic logic [32+LaneBits:0] stride_of(logic [31:0] pitch);
    logic [32+LaneBits:0] stride;
    stride = (33 + LaneBits)'(pitch) * (33 + LaneBits)'(wide_lanes(Engine));
    if (Engine.stripes && header.striped) return (33 + LaneBits)'(pitch);
    return two_precisions(Engine) && header.narrow ? stride << 1 : stride;
  endfunction

  assign stop = state == Finish || state == Reset;
  assign clear = state == Reset;
  assign pass_ends = state == PassEnd;
  assign fetch_start = state == Idle && start && image_count != '0;
  assign taps_ready = state == Dispatch || state == Skip;
  assign next_ready = (state == Dispatch && !taps_valid && !load_waits) || state == Skip;
  assign pass_size = pass_images(Engine, header.narrow, header.striped);
  assign images = images_of(images_left, pass_size);
  assign next_ahead = next_operation.code.flags.load_ahead && more_passes && !ahead_begun;
  assign running = state != Idle && state != Finish && state != Reset;
  assign stopped = running && problem != ErrorNone;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= Idle;
      busy <= 1'b0;
      done <= 1'b0;
      error <= ErrorNone;
      load_start <= 1'b0;
      ahead_start <= 1'b0;
      conv_start <= 1'b0;
      pool_start <= 1'b0;
      stripes_start <= 1'b0;
      store_start <= 1'b0;
      retired_count <= '0;
    end else begin
      done <= 1'b0;
      load_start <= 1'b0;
      ahead_start <= 1'b0;
      conv_start <= 1'b0;
      pool_start <= 1'b0;
      stripes_start <= 1'b0;
      store_start <= 1'b0;
      if (stopped) begin
        error <= problem;
        state <= Finish;
      end else begin
        case (state)
          Idle:
          if (start) begin
            busy <= 1'b1;
            retired_count <= '0;
            error <= image_count == '0 ? ErrorNoImages : ErrorNone;
            state <= image_count == '0 ? Finish : Check;
          end
          Check: if (checked) state <= Dispatch;
          Dispatch:
          if (taps_valid) begin
            retired_count <= retired_count + 32'd1;
          end else if (next_valid) begin
            if (next_operation.problem != ErrorNone) begin
              error <= next_operation.problem;
              state <= Finish;
            end else if (next_operation.code.opcode == OpEnd) begin
              retired_count <= retired_count + 32'd1;
              state <= next_last ? PassEnd : Skip;
            end else if (next_last) begin
              error <= ErrorOpcode;  // the program has no END
              state <= Finish;
            end else if (next_operation.code.opcode == OpTable && !first_pass) begin
              retired_count <= retired_count + 32'd1;  // the tables are filled
            end else if (next_operation.code.opcode == OpLoad && ahead_begun) begin
              if (!load_waits) retired_count <= retired_count + 32'd1;  // the images are there
            end else if (!load_waits) begin
              load_start <= next_operation.code.opcode == OpTable || next_operation.code.opcode == OpLoad ||
                  next_operation.code.opcode == OpFill;
              ahead_start <= next_ahead;
              conv_start <= next_operation.code.opcode == OpConv;
              pool_start <= next_operation.code.opcode == OpMaxPool ||
                  (Engine.stripes && next_operation.code.opcode == OpShift);
              stripes_start <= Engine.stripes && next_operation.code.opcode == OpStripes;
              store_start <= next_operation.code.opcode == OpStoreResult ||
                  next_operation.code.opcode == OpStoreMap || next_operation.code.opcode == OpSpill;
              state <= Run;
            end
          end
          Run:
          if (unit_done) begin
            retired_count <= retired_count + 32'd1;
            state <= Dispatch;
          end
          Skip: if (next_valid && next_last) state <= PassEnd;
          PassEnd: state <= more_passes ? Dispatch : Flush;
          Flush: if (writes_finished) state <= Finish;
          Finish: if (masters_idle) state <= Reset;
          Reset: begin
            busy <= 1'b0;
            done <= 1'b1;
            state <= Idle;
          end
          default: state <= Idle;
        endcase
      end
    end

    // Loads of images: in a pass one, be it begun in the pass before.
    if (state == Idle) begin
      ahead_begun <= 1'b0;
      ahead_running <= 1'b0;
    end else begin
      if (ahead_start) ahead_begun <= 1'b1;
      else if (state == Dispatch && !taps_valid && next_valid && next_operation.code.opcode == OpLoad && !load_waits)
        ahead_begun <= 1'b0;
      if (ahead_start) ahead_running <= 1'b1;
      else if (ahead_done) ahead_running <= 1'b0;
    end
    // The next operation is there long before it is ready. A FILL reads what SPILLs have written.
    load_waits <= (ahead_running && next_operation.code.opcode == OpLoad) ||
        (Engine.external_maps && next_operation.code.opcode == OpFill && !writes_finished);
    more_passes <= images_left > pass_size;
    images_after <= images_left - pass_size;
    if (state == Dispatch) load_images <= next_ahead ? images_of(images_after, pass_size) : images;

    image_stride <= stride_of(header.image_pitch);
    record_stride <= stride_of(header.result_pitch);
    case (state)
      Idle:
      if (start) begin
        images_left <= image_count;
        image_index <= '0;
        first_pass <= 1'b1;
        image_address <= images_address;
        record_address <= results_address;
      end
      Dispatch:
      if (!taps_valid && next_valid) begin
        operation <= next_operation;
        operation_taps <= taps;
      end
      PassEnd: begin
        images_left <= images_after;
        image_index <= image_index + pass_size;
        first_pass <= 1'b0;
        record_address <= record_address + AxiAddressBits'(record_stride);
      end
      default: ;
    endcase
    if (ahead_start || (pass_ends && !ahead_begun)) image_address <= image_address + AxiAddressBits'(image_stride);
  end
endmodule
