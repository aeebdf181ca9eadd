import Engine
import Glibc
import Terminal

/// JSON that is printed.
enum JSONText {
    /// One object on one line.
    static func of(_ value: JSONValue) -> String { String(decoding: value.utf8, as: UTF8.self) }
}

extension Job {
    /// The members that a list of jobs has.
    private var members: [String: JSONValue] {
        [
            "id": .string(id), "kind": .string(kind.rawValue), "status": .string(status.rawValue),
            "project": .string(project), "folder": .string(folder), "started_at_ns": .integer(startedAt),
            "ended_at_ns": endedAt.map { .integer($0) } ?? .null, "error": error.map { .string($0) } ?? .null,
            "user": .string(user),
        ]
    }

    /// As a list of jobs has it.
    var summary: JSONValue { .object(members) }

    /// All of it.
    var details: JSONValue {
        let models = models.map { model in
            JSONValue.object([
                "name": .string(model.name), "kind": .string(model.kind), "status": .string(model.status),
                "started_at_ns": model.startedAt.map { .integer($0) } ?? .null,
                "ended_at_ns": model.endedAt.map { .integer($0) } ?? .null,
                "file": model.file.map { .string($0) } ?? .null, "inputs": .array(model.inputs.map { .string($0) }),
            ])
        }
        let more: [String: JSONValue] = [
            "options": .object(options), "parameters": .object(parameters), "models": .array(models),
        ]
        return .object(members.merging(more) { one, _ in one })
    }
}

extension JobLine {
    /// As JSON.
    var json: JSONValue {
        [
            "at_ns": .integer(at), "model": model.map { .string($0) } ?? .null, "stream": .string(stream.rawValue),
            "text": .string(text),
        ]
    }
}

/// A moment for people.
enum LocalTime {
    /// As `2026-11-30 21:53:04`, in the time zone of this process.
    static func text(_ nanoseconds: Int64) -> String {
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var parts = tm()
        guard localtime_r(&seconds, &parts) != nil else { return "?" }
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, "%Y-%m-%d %H:%M:%S", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Jobs as text.
enum JobText {
    /// Rows of texts, aligned.
    static func table(_ rows: [[String]]) -> String {
        guard let first = rows.first else { return "" }
        let widths = first.indices.map { column in rows.map { $0[column].columns }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.columns) }
                .joined(separator: "  ").trimmedEnd
        }.joined(separator: "\n")
    }

    /// Everything that is known of a job.
    static func details(of job: Job) -> String {
        let isOver = job.endedAt != nil
        var rows = [
            ["id", job.id], ["kind", job.kind.rawValue], ["status", job.status.rawValue],
            ["project", "\(job.project) (\(job.folder))"], ["user", job.user],
            ["started", LocalTime.text(job.startedAt)],
        ]
        if isOver, let end = job.endedAt { rows.append(["ended", LocalTime.text(end)]) }
        if let error = job.error { rows.append(["error", error.replacing("\n", with: " ")]) }
        for (name, values) in [("options", job.options), ("parameters", job.parameters)] {
            let texts = values.filter { $0.value != .null }.sorted { $0.key < $1.key }.map { key, value in
                "\(key)=\(value.string?.replacing("\n", with: " ") ?? JSONText.of(value))"
            }
            if !texts.isEmpty { rows.append([name, texts.joined(separator: " ")]) }
        }
        let text = table(rows)
        if job.models.isEmpty { return text }
        let models = job.models.map { model in
            let took = model.startedAt.flatMap { start in
                model.endedAt.map { Quantity.time(.nanoseconds(max(0, $0 - start))) }
            }
            return [model.name, model.kind, model.status, took ?? "", model.file ?? ""]
        }
        return text + "\n\n" + table([["model", "kind", "status", "took", "file"]] + models)
    }
}

extension String {
    /// Without spaces at its end.
    fileprivate var trimmedEnd: String {
        var text = self[...]
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
