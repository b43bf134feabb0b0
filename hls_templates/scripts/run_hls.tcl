# Vitis HLS for one unit: C simulation, synthesis, co-simulation, export as an IP-XACT core.
# Sourced by hls_<unit>.tcl, which sets `unit`. Results: build/hls_<unit>, the core in solution/impl/ip there.
# Steps: those named in the environment variable CASCADE_HLS_STEPS (vitis-run passes no arguments to a Tcl script).

set scripts [file dirname [file normalize [info script]]]
set root    [file dirname $scripts]
source [file join $scripts design.tcl]
array set this [array get unit_$unit]

set hls_steps {csynth export}
if {[info exists ::env(CASCADE_HLS_STEPS)]} {
    set hls_steps $::env(CASCADE_HLS_STEPS)
}
foreach step $hls_steps {
    if {$step ni {csim csynth cosim export}} {
        puts stderr "ERROR: a step must be csim, csynth, cosim or export, not '$step'"
        exit 2
    }
}

proc absolute {paths} {
    global root
    set result {}
    foreach path $paths {
        lappend result [file join $root $path]
    }
    return $result
}

proc wants {step} {
    global hls_steps
    return [expr {$step in $hls_steps}]
}

# Put the vectors of each program of the unit where the test bench looks for them, and return the test bench's
# arguments, once for each program.
proc make_vectors {} {
    global root this
    set arguments {}
    foreach {program vectors} $this(vectors) {
        set folder [file join $root build vectors_$program]
        file mkdir $folder
        foreach name {program weights images expected} {
            file copy -force [file join $root [dict get $vectors $name]] [file join $folder $name.bin]
        }
        lappend arguments "$folder [dict get $vectors count] [dict get $vectors result_bytes]"
    }
    return $arguments
}

if {[catch {
    file mkdir [file join $root build]
    cd [file join $root build]
    set flags "-std=c++17 -I[file join $root $this(hls_include)]"

    open_project -reset hls_$unit
    set_top $this(top)
    foreach path [absolute $this(hls_sources)] {
        add_files $path -cflags $flags
    }
    foreach path [absolute $this(hls_bench)] {
        add_files -tb $path -cflags $flags
    }
    set arguments {}
    if {[wants csim] || [wants cosim]} {
        if {![llength $this(hls_bench)] || ![llength $this(vectors)]} {
            error "csim and cosim need a test bench and vectors, and unit '$unit' was emitted without them"
        }
        set arguments [make_vectors]
    }
    open_solution -reset -flow_target vivado solution
    set_part $part
    create_clock -period [format %.3f [expr {1000.0 / $clock_mhz}]] -name ap_clk
    # 64-bit addresses; ports as wide as the emitted types say, never widened behind the planner's back
    config_interface -m_axi_addr64=true -m_axi_latency 64 -m_axi_max_widen_bitwidth 0
    if {[wants csim]} {
        foreach each $arguments {
            csim_design -argv $each
        }
    }
    if {[wants csynth] || [wants cosim] || [wants export]} {
        csynth_design
    }
    if {[wants cosim]} {
        foreach each $arguments {
            cosim_design -rtl verilog -argv $each
        }
    }
    if {[wants export]} {
        export_design -rtl verilog -format ip_catalog -vendor cascade -library hls -ipname $this(top) -version 1.0
    }
    close_project
} message]} {
    puts stderr "ERROR: Vitis HLS failed for unit '$unit': $message"
    exit 1
}
exit 0
