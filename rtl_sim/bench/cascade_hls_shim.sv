// The emitted HLS C++ behind the ports of a unit: registers of s_axi_control and the AXI masters in
// SystemVerilog, everything else in the DPI model (hls_templates/dpi). Computing takes no time; memory does.
// The masters keep the rules that HLS adapters keep: INCR bursts within 4,096 bytes, one ID, responses not shown to
// the C++. The counters that only the RTL engine has read as 0.
module cascade_hls_shim #(
    parameter int unsigned BusBits = 128
) (
    input  logic                 ap_clk,
    input  logic                 ap_rst_n,
    output logic                 interrupt,
    // control registers
    input  logic                 s_axi_control_awvalid,
    output logic                 s_axi_control_awready,
    input  logic [          6:0] s_axi_control_awaddr,
    input  logic                 s_axi_control_wvalid,
    output logic                 s_axi_control_wready,
    input  logic [         31:0] s_axi_control_wdata,
    input  logic [          3:0] s_axi_control_wstrb,
    output logic                 s_axi_control_bvalid,
    input  logic                 s_axi_control_bready,
    output logic [          1:0] s_axi_control_bresp,
    input  logic                 s_axi_control_arvalid,
    output logic                 s_axi_control_arready,
    input  logic [          6:0] s_axi_control_araddr,
    output logic                 s_axi_control_rvalid,
    input  logic                 s_axi_control_rready,
    output logic [         31:0] s_axi_control_rdata,
    output logic [          1:0] s_axi_control_rresp,
    // program, tables, images; results
    output logic                 m_axi_gmem0_awvalid,
    input  logic                 m_axi_gmem0_awready,
    output logic [         63:0] m_axi_gmem0_awaddr,
    output logic [          0:0] m_axi_gmem0_awid,
    output logic [          7:0] m_axi_gmem0_awlen,
    output logic [          2:0] m_axi_gmem0_awsize,
    output logic [          1:0] m_axi_gmem0_awburst,
    output logic [          0:0] m_axi_gmem0_awlock,
    output logic [          3:0] m_axi_gmem0_awcache,
    output logic [          2:0] m_axi_gmem0_awprot,
    output logic [          3:0] m_axi_gmem0_awqos,
    output logic                 m_axi_gmem0_wvalid,
    input  logic                 m_axi_gmem0_wready,
    output logic [  BusBits-1:0] m_axi_gmem0_wdata,
    output logic [BusBits/8-1:0] m_axi_gmem0_wstrb,
    output logic                 m_axi_gmem0_wlast,
    input  logic                 m_axi_gmem0_bvalid,
    output logic                 m_axi_gmem0_bready,
    input  logic [          0:0] m_axi_gmem0_bid,
    input  logic [          1:0] m_axi_gmem0_bresp,
    output logic                 m_axi_gmem0_arvalid,
    input  logic                 m_axi_gmem0_arready,
    output logic [         63:0] m_axi_gmem0_araddr,
    output logic [          0:0] m_axi_gmem0_arid,
    output logic [          7:0] m_axi_gmem0_arlen,
    output logic [          2:0] m_axi_gmem0_arsize,
    output logic [          1:0] m_axi_gmem0_arburst,
    output logic [          0:0] m_axi_gmem0_arlock,
    output logic [          3:0] m_axi_gmem0_arcache,
    output logic [          2:0] m_axi_gmem0_arprot,
    output logic [          3:0] m_axi_gmem0_arqos,
    input  logic                 m_axi_gmem0_rvalid,
    output logic                 m_axi_gmem0_rready,
    input  logic [          0:0] m_axi_gmem0_rid,
    input  logic [  BusBits-1:0] m_axi_gmem0_rdata,
    input  logic [          1:0] m_axi_gmem0_rresp,
    input  logic                 m_axi_gmem0_rlast,
    // weights
    output logic                 m_axi_gmem1_arvalid,
    input  logic                 m_axi_gmem1_arready,
    output logic [         63:0] m_axi_gmem1_araddr,
    output logic [          0:0] m_axi_gmem1_arid,
    output logic [          7:0] m_axi_gmem1_arlen,
    output logic [          2:0] m_axi_gmem1_arsize,
    output logic [          1:0] m_axi_gmem1_arburst,
    output logic [          0:0] m_axi_gmem1_arlock,
    output logic [          3:0] m_axi_gmem1_arcache,
    output logic [          2:0] m_axi_gmem1_arprot,
    output logic [          3:0] m_axi_gmem1_arqos,
    input  logic                 m_axi_gmem1_rvalid,
    output logic                 m_axi_gmem1_rready,
    input  logic [          0:0] m_axi_gmem1_rid,
    input  logic [  BusBits-1:0] m_axi_gmem1_rdata,
    input  logic [          1:0] m_axi_gmem1_rresp,
    input  logic                 m_axi_gmem1_rlast,
    // for the bench
    output logic                 deadlock
);
  // What the model does is written where it is defined.
  import "DPI-C" function void cascade_model_start(
    input longint unsigned program_address,
    input longint unsigned weights_address,
    input longint unsigned images_address,
    input longint unsigned results_address,
    input longint unsigned maps_address,
    input int unsigned count
  );
  import "DPI-C" function void cascade_model_reset();
  import "DPI-C" function int cascade_model_advance(output int unsigned status);
  import "DPI-C" function bit cascade_model_next_read(
    input int port,
    output longint unsigned address,
    output byte unsigned length
  );
  import "DPI-C" function void cascade_model_bring(
    input int port,
    input bit [511:0] data
  );
  import "DPI-C" function bit cascade_model_next_write(
    output longint unsigned address,
    output byte unsigned length
  );
  import "DPI-C" function bit cascade_model_next_data(
    output bit [511:0] data,
    output bit last
  );
  import "DPI-C" function void cascade_model_answer();
  import "DPI-C" function void cascade_model_report();

  localparam int Finished = 2;
  localparam int Stuck = 3;
  // Words of the register map (byte address / 4): addresses and count are registers 4 to 19.
  localparam logic [4:0] Control = 5'h00, GlobalEnable = 5'h01, Enable = 5'h02, Status = 5'h03;
  localparam logic [4:0] Count = 5'h13, ErrorCode = 5'h15, ErrorValid = 5'h16;

  logic [31:0] arguments[32];
  logic [31:0] error;
  logic finished;
  logic start, busy, done, ready, error_valid, global_enable;
  logic [1:0] enable, pending;
  logic write, read;
  logic [4:0] write_word, read_word;

  assign write = s_axi_control_awvalid && s_axi_control_wvalid && !s_axi_control_bvalid;
  assign read = s_axi_control_arvalid && !s_axi_control_rvalid;
  assign s_axi_control_awready = write;
  assign s_axi_control_wready = write;
  assign s_axi_control_arready = read;
  assign s_axi_control_bresp = '0;
  assign s_axi_control_rresp = '0;
  assign write_word = s_axi_control_awaddr[6:2];
  assign read_word = s_axi_control_araddr[6:2];
  assign interrupt = global_enable && pending != '0;

  assign {m_axi_gmem0_awid, m_axi_gmem0_arid, m_axi_gmem1_arid} = '0;
  assign {m_axi_gmem0_awlock, m_axi_gmem0_arlock, m_axi_gmem1_arlock} = '0;
  assign {m_axi_gmem0_awprot, m_axi_gmem0_arprot, m_axi_gmem1_arprot} = '0;
  assign {m_axi_gmem0_awqos, m_axi_gmem0_arqos, m_axi_gmem1_arqos} = '0;
  assign {m_axi_gmem0_awcache, m_axi_gmem0_arcache, m_axi_gmem1_arcache} = {3{4'b0011}};
  assign {m_axi_gmem0_awsize, m_axi_gmem0_arsize, m_axi_gmem1_arsize} = {3{3'($clog2(BusBits / 8))}};
  assign {m_axi_gmem0_awburst, m_axi_gmem0_arburst, m_axi_gmem1_arburst} = {3{2'b01}};
  assign m_axi_gmem0_wstrb = '1;
  assign m_axi_gmem0_bready = 1'b1;
  assign m_axi_gmem0_rready = 1'b1;
  assign m_axi_gmem1_rready = 1'b1;

  // ---- registers
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      s_axi_control_bvalid <= 1'b0;
      s_axi_control_rvalid <= 1'b0;
      {start, done, ready, error_valid, global_enable} <= '0;
      {enable, pending} <= '0;
    end else begin
      start <= 1'b0;
      if (s_axi_control_bready) s_axi_control_bvalid <= 1'b0;
      if (s_axi_control_rready) s_axi_control_rvalid <= 1'b0;
      if (write) begin
        s_axi_control_bvalid <= 1'b1;
        case (write_word)
          Control: start <= s_axi_control_wstrb[0] && s_axi_control_wdata[0] && !busy;
          GlobalEnable: if (s_axi_control_wstrb[0]) global_enable <= s_axi_control_wdata[0];
          Enable: if (s_axi_control_wstrb[0]) enable <= s_axi_control_wdata[1:0];
          Status: if (s_axi_control_wstrb[0]) pending <= pending ^ s_axi_control_wdata[1:0];
          default:
          for (int i = 0; i < 4; i++)
            if (s_axi_control_wstrb[i]) arguments[write_word][8*i+:8] <= s_axi_control_wdata[8*i+:8];
        endcase
      end
      if (read) begin
        s_axi_control_rvalid <= 1'b1;
        case (read_word)
          Control: begin
            s_axi_control_rdata <= {28'd0, ready, !busy && !start, done, busy || start};
            done <= 1'b0;
            ready <= 1'b0;
          end
          GlobalEnable: s_axi_control_rdata <= {31'd0, global_enable};
          Enable: s_axi_control_rdata <= {30'd0, enable};
          Status: s_axi_control_rdata <= {30'd0, pending};
          ErrorCode: s_axi_control_rdata <= error;
          ErrorValid: begin
            s_axi_control_rdata <= {31'd0, error_valid};
            error_valid <= 1'b0;
          end
          default: s_axi_control_rdata <= read_word < ErrorCode ? arguments[read_word] : '0;
        endcase
      end
      if (finished) begin
        done <= 1'b1;
        ready <= 1'b1;
        error_valid <= 1'b1;
        pending <= pending | enable;
      end
    end
  end

  // ---- the model: what memory brought, then a step of every process, then what they ask for
  int state;
  int unsigned model_status;
  longint unsigned address;
  byte unsigned length;
  bit [511:0] data;
  bit last;

  always @(posedge ap_clk) begin
    finished <= 1'b0;
    if (!ap_rst_n) begin
      cascade_model_reset();
      m_axi_gmem0_arvalid <= 1'b0;
      m_axi_gmem1_arvalid <= 1'b0;
      m_axi_gmem0_awvalid <= 1'b0;
      m_axi_gmem0_wvalid <= 1'b0;
      busy <= 1'b0;
      deadlock <= 1'b0;
    end else begin
      if (m_axi_gmem0_rvalid) cascade_model_bring(0, 512'(m_axi_gmem0_rdata));
      if (m_axi_gmem1_rvalid) cascade_model_bring(1, 512'(m_axi_gmem1_rdata));
      if (m_axi_gmem0_bvalid) cascade_model_answer();
      if (start) begin
        cascade_model_start({arguments[5], arguments[4]}, {arguments[8], arguments[7]}, {arguments[11], arguments[10]},
                            {arguments[14], arguments[13]}, {arguments[17], arguments[16]}, arguments[Count]);
      end
      state = cascade_model_advance(model_status);
      busy <= (busy || start) && state != Finished;
      if (state == Finished) begin
        finished <= 1'b1;
        error <= model_status;
      end
      deadlock <= state == Stuck;

      if (!m_axi_gmem0_arvalid || m_axi_gmem0_arready) begin
        m_axi_gmem0_arvalid <= cascade_model_next_read(0, address, length);
        m_axi_gmem0_araddr <= address;
        m_axi_gmem0_arlen <= length;
      end
      if (!m_axi_gmem1_arvalid || m_axi_gmem1_arready) begin
        m_axi_gmem1_arvalid <= cascade_model_next_read(1, address, length);
        m_axi_gmem1_araddr <= address;
        m_axi_gmem1_arlen <= length;
      end
      if (!m_axi_gmem0_awvalid || m_axi_gmem0_awready) begin
        m_axi_gmem0_awvalid <= cascade_model_next_write(address, length);
        m_axi_gmem0_awaddr <= address;
        m_axi_gmem0_awlen <= length;
      end
      if (!m_axi_gmem0_wvalid || m_axi_gmem0_wready) begin
        m_axi_gmem0_wvalid <= cascade_model_next_data(data, last);
        m_axi_gmem0_wdata <= data[BusBits-1:0];
        m_axi_gmem0_wlast <= last;
      end
    end
  end

  task automatic report();
    cascade_model_report();
  endtask
endmodule
