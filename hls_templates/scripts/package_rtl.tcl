# Vivado: package the SystemVerilog of every unit as an IP-XACT core in build/ip/<unit>_rtl.
# vivado -mode batch -source package_rtl.tcl

set scripts [file dirname [file normalize [info script]]]
set root    [file dirname $scripts]
source [file join $scripts design.tcl]
source [file join $scripts package_core.tcl]

proc package_unit {unit} {
    global root unit_$unit
    array set this [array get unit_$unit]
    set sources {}
    foreach path $this(rtl_sources) {
        lappend sources [file join $root $path]
    }
    package_core ${unit}_rtl $this(top) $sources {s_axi_control m_axi_gmem0 m_axi_gmem1}
}

if {[catch {
    file mkdir [file join $root build ip]
    foreach unit $units {
        package_unit $unit
    }
} message]} {
    puts stderr "ERROR: packaging the RTL failed: $message"
    exit 1
}
exit 0
