# What the stubs of both vendor tools share: a record of every call, and strict options.
# An unknown command stays Tcl's own error; an unknown option, a missing file or a wrong order is one here.

set stub_log [open $::env(STUB_LOG) a]

proc record {args} {
    puts $::stub_log $args
    flush $::stub_log
}

# Take a call apart. `spec` maps each option to flag, value, or a list of allowed values; what is left is
# positional. -name=value is taken like -name value. Returns a dict with "args" for the positional ones.
proc parse {command spec arguments} {
    record $command {*}$arguments
    set result [dict create args {}]
    for {set i 0} {$i < [llength $arguments]} {incr i} {
        set word [lindex $arguments $i]
        if {![regexp {^-[a-zA-Z]} $word]} {
            dict lappend result args $word
            continue
        }
        set has_value [regexp {^(-[A-Za-z0-9_]+)=(.*)$} $word -> word value]
        if {![dict exists $spec $word]} {
            error "$command: unknown option '$word'"
        }
        set kind [dict get $spec $word]
        if {$kind eq "flag"} {
            dict set result $word 1
            continue
        }
        if {!$has_value} {
            incr i
            if {$i >= [llength $arguments]} {
                error "$command: option '$word' needs a value"
            }
            set value [lindex $arguments $i]
        }
        if {$kind ne "value" && $value ni $kind} {
            error "$command: option '$word' must be one of $kind, not '$value'"
        }
        dict set result $word $value
    }
    return $result
}

proc positional {command call count} {
    if {[llength [dict get $call args]] != $count} {
        error "$command: takes $count argument(s), not '[dict get $call args]'"
    }
    return [dict get $call args]
}

proc need_file {command path} {
    if {![file isfile $path]} {
        error "$command: no such file '$path'"
    }
}
