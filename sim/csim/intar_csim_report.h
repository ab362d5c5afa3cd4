// What the simulator says about itself: the deadlock report, its JSON form, and the statistics.
#ifndef INTAR_CSIM_REPORT_H
#define INTAR_CSIM_REPORT_H

#include "intar_csim.h"

namespace intar {
namespace csim {
namespace detail {

inline std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

inline std::string depth_text(std::uint64_t depth) {
    return depth == kUnbounded ? "unbounded" : std::to_string(depth);
}
inline std::string depth_json(std::uint64_t depth) {
    return depth == kUnbounded ? "null" : std::to_string(depth);
}
inline const char* kind_name(Kind kind) {
    return kind == Kind::task ? "task" : kind == Kind::control ? "control" : "host";
}
inline const char* operation_name(Operation operation) {
    return operation == Operation::read ? "read" : operation == Operation::write ? "write" : "none";
}

// `name` is who has used that side of the stream so far, `peer` who would have to come now.
inline std::string party(const char* role, const std::string& name, const Process* peer) {
    if (!name.empty()) return std::string(role) + " is '" + name + "'";
    return std::string(role) + " has not come yet" + (peer != nullptr ? " ('" + peer->name + "')" : std::string());
}

inline std::string joined(const std::vector<std::string>& items, const char* between = ", ") {
    std::string out;
    for (const std::string& item : items) out += (out.empty() ? "" : between) + item;
    return out;
}

}  // namespace detail

inline std::string Simulator::describe(const Process& process) const {
    std::string text = "  " + std::string(detail::kind_name(process.kind)) + " '" + process.name + "'";
    if (process.kind == Kind::task) text += " (call " + std::to_string(process.calls) + ")";
    if (process.finished) return text + " has finished";
    if (process.channel == nullptr) return text + " waits for the region";
    const Channel& channel = *process.channel;
    const bool reads = process.operation == Operation::read;
    return text + (reads ? " reads empty stream '" : " writes full stream '") + channel.name + "': holds " +
           std::to_string(channel.fill()) + " of " + detail::depth_text(channel.depth) + " tokens, " +
           std::to_string(channel.written) + " written, " + std::to_string(channel.read) + " read; " +
           detail::party(reads ? "writer" : "reader", reads ? channel.writer_name : channel.reader_name,
                         channel.peer(&process, process.operation));
}

// Follow "waits for the other end of its stream" until a process comes again; empty if it leads elsewhere.
inline std::vector<const Process*> Simulator::waiting_cycle() const {
    for (auto& start : processes_) {
        std::vector<const Process*> path;
        const Process* process = start.get();
        while (process != nullptr && process->channel != nullptr) {
            if (!path.empty() && process == path.front()) return path;
            if (std::find(path.begin(), path.end(), process) != path.end()) break;  // a cycle without `start`
            path.push_back(process);
            process = process->channel->peer(process, process->operation);
        }
    }
    return {};
}

inline void Simulator::deadlock() {
    std::string message = "deadlock in call " + std::to_string(run_ + 1) + " of '" + kernel_ + "': no process can run";
    for (auto& process : processes_) {
        if (process->kind != Kind::host || process->channel != nullptr) message += "\n" + describe(*process);
    }
    std::vector<std::string> names, full;
    for (const Process* process : waiting_cycle()) {
        names.push_back(process->name);
        if (process->operation == Operation::write) full.push_back("'" + process->channel->name + "'");
    }
    if (!names.empty()) {
        message += "\n  cycle: '" + detail::joined(names, "', '") + "'" + (names.size() == 1 ? " waits for itself" : " wait for each other");
        if (!full.empty()) {
            message += "\n  way out: more depth for " + detail::joined(full) +
                       "; INTAR_SIM_DEPTH=inf tells whether depth is all that is missing";
        } else {
            message += "; each of them reads, so more depth does not help: a token is missing or the order is wrong";
        }
    }
    finish("deadlock", message, kExitDeadlock, names);
}

inline std::string Simulator::channels_json() const {
    std::vector<std::string> items;
    for (auto& channel : channels_) {
        items.push_back("\n  {\"name\": " + detail::quoted(channel->name) + ", \"depth\": " +
                        detail::depth_json(channel->depth) + ", \"declared\": " + std::to_string(channel->declared) +
                        ", \"high_water\": " + std::to_string(channel->high_water) + ", \"written\": " +
                        std::to_string(channel->written) + ", \"read\": " + std::to_string(channel->read) +
                        ", \"fill\": " + std::to_string(channel->fill()) + ", \"writer\": " +
                        detail::quoted(channel->writer_name) + ", \"reader\": " + detail::quoted(channel->reader_name) + "}");
    }
    return "[" + detail::joined(items) + "]";
}

inline std::string Simulator::processes_json() const {
    std::vector<std::string> items;
    for (auto& process : processes_) {
        if (process->kind == Kind::host && process->channel == nullptr) continue;
        const char* state = process->finished ? "finished" : process->channel != nullptr ? "blocked" : "running";
        items.push_back("\n  {\"name\": " + detail::quoted(process->name) + ", \"kind\": \"" +
                        detail::kind_name(process->kind) + "\", \"state\": \"" + state + "\", \"calls\": " +
                        std::to_string(process->calls) + ", \"in_call\": " + (process->in_call ? "true" : "false") +
                        ", \"operation\": \"" + detail::operation_name(process->operation) + "\", \"stream\": " +
                        (process->channel == nullptr ? "null" : detail::quoted(process->channel->name)) + "}");
    }
    return "[" + detail::joined(items) + "]";
}

inline std::string Simulator::statistics() const {
    std::vector<std::string> counters;
    for (int id = 0; id < kSaturationCounters; ++id) {
        const std::uint64_t count = saturations(id);
        if (count != 0) counters.push_back("\"" + std::to_string(id) + "\": " + std::to_string(count));
    }
    return "{\"schema\": \"intar.csim.stats/1\", \"kernel\": " + detail::quoted(kernel_) + ", \"calls\": " +
           std::to_string(run_) + ",\n \"streams\": " + channels_json() + ",\n \"processes\": " + processes_json() +
           ",\n \"saturations\": {" + detail::joined(counters) + "}}\n";
}

inline void Simulator::finish(const char* status, const std::string& message, ExitCode code,
                              const std::vector<std::string>& involved) {
    std::fflush(stdout);
    std::fprintf(stderr, "intar-csim: %s\n", message.c_str());
    if (!report_file_.empty()) {
        std::vector<std::string> names;
        for (const std::string& name : involved) names.push_back(detail::quoted(name));
        write_file(report_file_, "{\"schema\": \"intar.csim.report/1\", \"status\": \"" + std::string(status) +
                   "\", \"kernel\": " + detail::quoted(kernel_) + ", \"call\": " + std::to_string(run_ + 1) +
                   ",\n \"message\": " + detail::quoted(message) + ",\n \"involved\": [" + detail::joined(names) +
                   "],\n \"processes\": " + processes_json() + ",\n \"streams\": " + channels_json() + "}\n");
    }
    std::fflush(stderr);
    std::_Exit(code);  // not exit(): the stacks of the other processes can't be unwound
}

// Written beside its place and renamed, so that a reader never sees half a file.
inline void Simulator::write_file(const std::string& path, const std::string& text) {
    const std::string part = path + ".part";
    std::FILE* file = std::fopen(part.c_str(), "w");
    bool good = file != nullptr;
    if (good) {
        good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
        good = std::fclose(file) == 0 && good;
        good = good && std::rename(part.c_str(), path.c_str()) == 0;
    }
    if (!good) {
        std::fprintf(stderr, "intar-csim: can't write '%s'\n", path.c_str());
        std::_Exit(kExitMisuse);
    }
}

}  // namespace csim
}  // namespace intar

#endif  // INTAR_CSIM_REPORT_H
