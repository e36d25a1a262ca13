module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  // The types are checked once by `npm run build`, not again for each file.
  transform: { '^.+\\.ts$': ['ts-jest', { diagnostics: false }] },
};
