import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const timeAndChance = [
  {
    selector:
      "CallExpression[callee.object.name='Math'][callee.property.name=/^(log|log2|log10|log1p|exp|expm1|pow|sin|cos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|asinh|acosh|atanh|cbrt|hypot|random)$/]",
    message:
      'ECMAScript leaves this function to the engine, so digests could differ. Use sim/math.ts or a RandomStream.',
  },
  {
    selector: "BinaryExpression[operator='**']",
    message: 'Use pow of sim/math.ts or a product: ** is left to the engine.',
  },
  {
    selector: "MemberExpression[property.name='localeCompare']",
    message: 'The order depends on the locale: compare with < and >.',
  },
  {
    selector: "MemberExpression[object.name='performance'][property.name='now']",
    message: 'Only runner/host.ts and kernel/ read a clock.',
  },
  {
    selector: "MemberExpression[object.name='Date'][property.name='now']",
    message: 'Only runner/host.ts and kernel/ read a clock.',
  },
  { selector: "NewExpression[callee.name='Date']", message: 'Only runner/host.ts and kernel/ read a clock.' },
  {
    selector: "CallExpression[callee.property.name='sort'][arguments.length=0]",
    message: 'Give sort a comparison: the default order is that of strings.',
  },
  { selector: 'TSEnumDeclaration', message: 'Use a union of literals or constants.' },
  { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' },
];

export default tseslint.config(
  { ignores: ['dist/', 'out/', 'node_modules/', 'coverage/'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.config.ts', '*.config.js', '*.mjs', 'vitest-reporter.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'no-restricted-syntax': ['error', ...timeAndChance],
    },
  },
  { files: ['runner/host.ts', 'kernel/**', '**/*.test.ts', '**/*.bench.ts'], rules: { 'no-restricted-syntax': 'off' } },
  {
    files: ['*.config.ts', '*.config.js', '*.mjs', 'vitest-reporter.ts'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: {
      ...tseslint.configs.disableTypeChecked.languageOptions,
      globals: { process: 'readonly', console: 'readonly' },
    },
    rules: { ...tseslint.configs.disableTypeChecked.rules, 'no-restricted-syntax': 'off' },
  },
);
