// What k6 has besides its modules, and @types/k6 does not say.

declare const console: Record<'debug' | 'error' | 'info' | 'log' | 'warn', (text: string) => void>;
