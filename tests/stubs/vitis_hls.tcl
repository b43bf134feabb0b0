# Stub of Vitis HLS' Tcl commands: order, options and files are checked, results are made as empty files.

set hls [dict create top "" part "" clock "" sources {} bench {} synthesised 0]

proc need_state {command key what} {
    if {[dict get $::hls $key] in {"" 0}} {
        error "$command: $what first"
    }
}

proc open_project {args} {
    set call [parse open_project {-reset flag} $args]
    set ::project [positional open_project $call 1]
    file mkdir $::project
}
proc close_project {} {
    parse close_project {} {}
}
proc set_top {args} {
    dict set ::hls top [positional set_top [parse set_top {} $args] 1]
}
proc add_files {args} {
    set call [parse add_files {-tb flag -cflags value -csimflags value} $args]
    set path [positional add_files $call 1]
    need_file add_files $path
    foreach flag [dict get $call -cflags] {
        if {[regexp {^-I(.*)} $flag -> folder] && ![file isdirectory $folder]} {
            error "add_files: no such include folder '$folder'"
        }
    }
    dict lappend ::hls [expr {[dict exists $call -tb] ? "bench" : "sources"}] $path
}
proc open_solution {args} {
    set call [parse open_solution {-reset flag -flow_target {vivado vitis}} $args]
    set ::solution [file join $::project [positional open_solution $call 1]]
    file mkdir $::solution
}
proc set_part {args} {
    dict set ::hls part [positional set_part [parse set_part {} $args] 1]
}
proc create_clock {args} {
    set call [parse create_clock {-period value -name value} $args]
    if {![string is double -strict [dict get $call -period]] || [dict get $call -period] <= 0} {
        error "create_clock: the period must be a number above 0, not '[dict get $call -period]'"
    }
    dict set ::hls clock [dict get $call -period]
}
proc config_interface {args} {
    parse config_interface {
        -m_axi_addr64 {true false} -m_axi_latency value -m_axi_max_widen_bitwidth value
        -m_axi_alignment_byte_size value
    } $args
}
# The bench takes a folder, a count and a number of bytes.
proc check_bench {command call} {
    need_state $command bench "add a test bench"
    lassign [dict get $call -argv] folder count bytes
    if {[llength [dict get $call -argv]] != 3 || $count < 1 || $bytes < 1} {
        error "$command: the bench's arguments must be FOLDER COUNT RESULT_BYTES, not '[dict get $call -argv]'"
    }
    foreach name {program weights images expected} {
        need_file $command [file join $folder $name.bin]
    }
}
proc csim_design {args} {
    check_bench csim_design [parse csim_design {-argv value -clean flag} $args]
}
proc csynth_design {args} {
    parse csynth_design {} $args
    foreach {key what} {top "set_top" sources "add_files" part "set_part" clock "create_clock"} {
        need_state csynth_design $key $what
    }
    if {[info exists ::env(STUB_FAIL)] && $::env(STUB_FAIL) eq "csynth"} {
        puts "ERROR: \[HLS 200-1\] a loop bound is not static"
        error "csynth_design failed"
    }
    dict set ::hls synthesised 1
}
proc cosim_design {args} {
    need_state cosim_design synthesised "csynth_design"
    check_bench cosim_design [parse cosim_design {-rtl {verilog vhdl} -argv value} $args]
}
proc export_design {args} {
    set call [parse export_design {
        -rtl {verilog vhdl} -format {ip_catalog xo syn_dcp} -vendor value -library value -ipname value
        -version value -output value
    } $args]
    need_state export_design synthesised "csynth_design"
    set folder [file join $::solution impl ip]
    file mkdir $folder
    set file [open [file join $folder component.xml] w]
    puts $file "[dict get $call -vendor]:[dict get $call -library]:[dict get $call -ipname]:[dict get $call -version]"
    close $file
}
