intar_array.sv
top.sv
