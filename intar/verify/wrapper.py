"""The SystemVerilog top around a kernel in simulation: clock, memory ports, cycle counters."""

from __future__ import annotations

from collections.abc import Sequence

from intar.codegen.rtl import Bundle
from intar.errors import ConfigError, Finding

_WRITE_CHANNELS = (
    "AWVALID",
    "AWREADY",
    "AWADDR",
    "AWLEN",
    "WVALID",
    "WREADY",
    "WDATA",
    "WSTRB",
    "WLAST",
    "BVALID",
    "BREADY",
)
_READ_CHANNELS = ("ARVALID", "ARREADY", "ARADDR", "ARLEN", "RVALID", "RREADY", "RDATA", "RLAST")
_CONTROL = (
    "AWVALID",
    "AWREADY",
    "AWADDR",
    "WVALID",
    "WREADY",
    "WDATA",
    "WSTRB",
    "BVALID",
    "BREADY",
    "BRESP",
    "ARVALID",
    "ARREADY",
    "ARADDR",
    "RVALID",
    "RREADY",
    "RDATA",
    "RRESP",
)


def wrapper_text(top: str, bundles: Sequence[Bundle], mode: str = "dpi", lower_case: bool = False) -> str:
    """Return the source of module `intar_bench`, which instantiates kernel `top`.

    Parameters
    ----------
    top : module name of the kernel.
    bundles : its AXI4 masters.
    mode : ``dpi``: clock and memory ports in SystemVerilog; ``axiram``: both are left to the test bench.
    lower_case : the kernel's ports are ``m_axi_gmem0_arvalid`` instead of ``m_axi_gmem0_ARVALID``.

    Raises
    ------
    ConfigError : a width that the memory model has not, a bundle without a channel, a name used twice.
    """
    _check(bundles)
    connections = [f".{pin}({pin})" for pin in ("ap_clk", "ap_rst_n", "interrupt")]
    connections += [_connect("s_axi_control", pin, lower_case) for pin in _CONTROL]
    body = [_CLOCK if mode == "dpi" else ""]
    for number, bundle in enumerate(bundles):
        prefix = f"m_axi_{bundle.name}"
        pins = (_WRITE_CHANNELS if bundle.write else ()) + (_READ_CHANNELS if bundle.read else ())
        connections += [_connect(prefix, pin, lower_case) for pin in pins]
        body.append(_signals(bundle, prefix))
        if mode == "dpi":
            body.append(_memory(bundle, prefix, number))
    body.append(f"  {top} kernel (\n      " + ",\n      ".join(connections) + "\n  );\n")
    return _HEAD + "\n".join(part for part in body if part) + "endmodule\n"


def _check(bundles: Sequence[Bundle]) -> None:
    findings = []
    for bundle in bundles:
        if bundle.width not in (32, 64, 128, 256, 512, 1024):
            findings.append(Finding(f"a word of {bundle.width} bits is no AXI4 width", where=bundle.name))
        if not bundle.read and not bundle.write:
            findings.append(Finding("the bundle neither reads nor writes", where=bundle.name))
    names = [bundle.name for bundle in bundles]
    findings += [
        Finding("two bundles have this name", where=n) for n in sorted(set(names)) if names.count(n) > 1
    ]
    if findings:
        raise ConfigError(findings)


def _connect(prefix: str, pin: str, lower_case: bool) -> str:
    return f".{prefix}_{pin.lower() if lower_case else pin}({prefix}_{pin.lower()})"


def _signals(bundle: Bundle, prefix: str) -> str:
    """Declare all signals of a bundle; those that our kernels leave to the interconnect are constants."""
    size = (bundle.width // 8).bit_length() - 1
    lines = [f"  // ---- bundle {bundle.name}: {bundle.width} bits"]
    for side in "aw", "ar":
        lines += [
            f"  logic {prefix}_{side}valid, {prefix}_{side}ready;",
            f"  logic [63:0] {prefix}_{side}addr;",
            f"  logic [7:0] {prefix}_{side}len;",
            f"  logic [2:0] {prefix}_{side}size = 3'd{size};",
            f"  logic [1:0] {prefix}_{side}burst = 2'b01;",
            f"  logic {prefix}_{side}id = 1'b0;",
        ]
    lines += [
        f"  logic {prefix}_wvalid, {prefix}_wready, {prefix}_wlast;",
        f"  logic [{bundle.width - 1}:0] {prefix}_wdata, {prefix}_rdata;",
        f"  logic [{bundle.width // 8 - 1}:0] {prefix}_wstrb;",
        f"  logic {prefix}_bvalid, {prefix}_bready, {prefix}_bid;",
        f"  logic {prefix}_rvalid, {prefix}_rready, {prefix}_rlast, {prefix}_rid;",
        f"  logic [1:0] {prefix}_bresp, {prefix}_rresp;",
    ]
    return "\n".join(lines) + "\n"


def _memory(bundle: Bundle, prefix: str, number: int) -> str:
    pins = [pin.lower() for pin in _WRITE_CHANNELS + _READ_CHANNELS]
    connections = [".clk(ap_clk)", ".rst_n(ap_rst_n)"]
    absent = (() if bundle.write else _WRITE_CHANNELS) + (() if bundle.read else _READ_CHANNELS)
    for pin in pins:
        driven_by_kernel = pin not in ("awready", "wready", "bvalid", "arready", "rvalid", "rdata", "rlast")
        if pin.upper() in absent:
            connections.append(f".{pin}({chr(39) + '0' if driven_by_kernel else ''})")
        else:
            connections.append(f".{pin}({prefix}_{pin})")
    return (
        f"  intar_axi_mem #(.PORT({number}), .DATA_WIDTH({bundle.width}), "
        f".READ(1'b{int(bundle.read)}), .WRITE(1'b{int(bundle.write)})) memory{number} (\n      "
        + ",\n      ".join(connections)
        + "\n  );\n"
    )


_CLOCK = """  initial begin
    ap_clk = 1'b0;
    forever #2 ap_clk = !ap_clk;
  end
"""

_HEAD = """// Generated: the kernel with what it needs in simulation; cocotb sees the signals of this module.
module intar_bench;
  logic ap_clk, interrupt;
  logic ap_rst_n = 1'b0;
  logic s_axi_control_awvalid, s_axi_control_awready, s_axi_control_wvalid, s_axi_control_wready;
  logic s_axi_control_bvalid, s_axi_control_bready;
  logic s_axi_control_arvalid, s_axi_control_arready, s_axi_control_rvalid, s_axi_control_rready;
  logic [11:0] s_axi_control_awaddr, s_axi_control_araddr;
  logic [31:0] s_axi_control_wdata, s_axi_control_rdata;
  logic [3:0] s_axi_control_wstrb;
  logic [1:0] s_axi_control_bresp, s_axi_control_rresp;

  // ---- time: ap_start is set by the write of CTRL (effective one cycle later), the interrupt follows
  // ap_done by one cycle; the difference of the two counters is the time from ap_start to ap_done.
  logic [63:0] cycle = 64'd0;
  logic [63:0] cycle_limit, start_cycle, done_cycle;
  logic running = 1'b0;
  logic timed_out = 1'b0;
  logic interrupt_seen = 1'b0;
  logic at_ctrl = 1'b0;
  logic at_ctrl_now, stop;
  assign at_ctrl_now =
      (s_axi_control_awvalid && s_axi_control_awready) ? s_axi_control_awaddr == 12'd0 : at_ctrl;
  assign stop = interrupt || timed_out;
  always_ff @(posedge ap_clk) begin
    cycle <= cycle + 64'd1;
    at_ctrl <= at_ctrl_now;
    interrupt_seen <= interrupt;
    if (!ap_rst_n) begin
      running <= 1'b0;
      timed_out <= 1'b0;
    end else begin
      if (interrupt && !interrupt_seen) begin
        done_cycle <= cycle - 64'd1;
        running <= 1'b0;
      end
      if (s_axi_control_wvalid && s_axi_control_wready && at_ctrl_now && s_axi_control_wdata[0]) begin
        start_cycle <= cycle + 64'd1;
        running <= 1'b1;
      end
      if (running && cycle - start_cycle > cycle_limit) timed_out <= 1'b1;
    end
  end

"""
