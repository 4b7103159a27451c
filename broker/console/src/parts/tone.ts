/** What a thing's look says of it: the same words for badges, dots, notices and findings. */
export type Tone = "good" | "warn" | "bad" | "note" | "plain";
