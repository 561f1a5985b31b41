package picture

// style is how a node looks.
type style int

const (
	styleStep style = iota
	stylePivot
	styleRetriable
	styleUndo
	styleControl
	styleFrame
	styleIdle
	styleDoing
	styleDone
	styleFailed
	styleStuck
	styleUndoing
	styleUndone
	styleSkipped
	styles // their number
)

// look returns the style's name and its CSS. Colours are never alone: the text says the same.
func (s style) look() (name, css string) {
	switch s {
	case styleStep:
		return "step", "fill:#e7f0fb,stroke:#2f6db3,color:#102a43"
	case stylePivot:
		return "pivot", "fill:#fdeccb,stroke:#a15c00,color:#3d2400,stroke-width:3px"
	case styleRetriable:
		return "retriable", "fill:#ece7fa,stroke:#5b45b0,color:#21174d"
	case styleUndo:
		return "undo", "fill:#f6f6f6,stroke:#777777,color:#444444,stroke-dasharray:4 3"
	case styleControl:
		return "control", "fill:#ffffff,stroke:#555555,color:#222222"
	case styleFrame:
		return "frame", "fill:#fbfbfb,stroke:#999999,color:#222222"
	case styleDoing:
		return "doing", "fill:#dbeafe,stroke:#1d4ed8,color:#10245c,stroke-width:2px"
	case styleDone:
		return "done", "fill:#dcfce7,stroke:#15803d,color:#0b3d20"
	case styleFailed:
		return "failed", "fill:#fee2e2,stroke:#b91c1c,color:#5c0f0f"
	case styleStuck:
		return "stuck", "fill:#b91c1c,stroke:#5c0f0f,color:#ffffff,stroke-width:3px"
	case styleUndoing:
		return "undoing", "fill:#ffedd5,stroke:#c2410c,color:#5a1e05,stroke-width:2px"
	case styleUndone:
		return "undone", "fill:#eeeceb,stroke:#78716c,color:#3f3a36"
	case styleSkipped:
		return "skipped", "fill:#f3e8ff,stroke:#7e22ce,color:#3b0764"
	default:
		return "idle", "fill:#ffffff,stroke:#a3a3a3,color:#6b6b6b"
	}
}
